// NestJS on Fastify: npm run build, then fasticorn dist/app.js:createApp
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';

export function createApp() {
  return NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter());
}
