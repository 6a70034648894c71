/**
 * The settings in the units of the policy. Pure.
 */
import type { Config } from '../config/settings.ts';
import type { Limits } from './state.ts';

const MIB = 1024 * 1024;

/** The limits of a generation's workers; 0 in the settings stands for none. */
export function limitsOf(config: Config): Limits {
  return {
    bootTimeout: config.bootTimeout * 1000,
    gracefulTimeout: config.gracefulTimeout * 1000,
    timeout: orNone(config.timeout * 1000),
    maxRequests: orNone(config.maxRequests),
    maxRequestsJitter: config.maxRequestsJitter,
    maxMemory: orNone(config.maxMemory * MIB),
    maxLifetime: orNone(config.maxLifetime * 1000),
  };
}

function orNone(limit: number): number {
  return limit === 0 ? Number.POSITIVE_INFINITY : limit;
}
