// NestJS on the Fastify adapter: what TypeScript makes of decorators, written by hand.
import 'reflect-metadata';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Module,
  Param,
  Post,
  Query,
  Sse,
  StreamableFile,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { from, map } from 'rxjs';
import { download, events, hash, token } from './answers.mjs';

class Answers {
  token(text, delay) {
    return token(text, delay);
  }

  hash(body, delay) {
    return hash(body, delay);
  }

  download() {
    return new StreamableFile(download());
  }

  events() {
    return from(events()).pipe(map((number) => ({ data: String(number) })));
  }
}

class AnswersModule {}

method('token', [Get('token/:token')], [Param('token'), Query('delay')]);
method('hash', [Post('hash'), HttpCode(200)], [Body(), Query('delay')]);
method('download', [Get('download')]);
method('events', [Sse('events')]);
Controller()(Answers);
Module({ controllers: [Answers] })(AnswersModule);

function method(name, decorators, parameters = []) {
  const { prototype } = Answers;
  for (const [index, decorate] of parameters.entries()) decorate(prototype, name, index);
  for (const decorate of decorators)
    decorate(prototype, name, Object.getOwnPropertyDescriptor(prototype, name));
}

export async function createApp(options) {
  const app = await NestFactory.create(AnswersModule, new FastifyAdapter(), { logger: false, ...options });
  app.useBodyParser('application/octet-stream');
  return app;
}
