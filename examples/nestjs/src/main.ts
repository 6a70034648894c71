// Also as a script that listens by itself: fasticorn dist/main.js
import { createApp } from './app.js';

async function bootstrap() {
  const app = await createApp();
  app.enableShutdownHooks();
  await app.listen(process.env.PORT ?? 3000);
}

await bootstrap();
