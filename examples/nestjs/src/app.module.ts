import { Body, Controller, Get, HttpCode, Injectable, Module, Param, Post } from '@nestjs/common';

@Injectable()
export class AppService {
  hello(name: string) {
    return { hello: name };
  }
}

@Controller()
export class AppController {
  constructor(private readonly service: AppService) {}

  @Get('hello/:name')
  hello(@Param('name') name: string) {
    return this.service.hello(name);
  }

  @Post('echo')
  @HttpCode(200)
  echo(@Body() body: unknown) {
    return body;
  }
}

@Module({ controllers: [AppController], providers: [AppService] })
export class AppModule {}
