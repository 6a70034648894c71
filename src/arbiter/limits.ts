/**
 * The settings in the units of the policy. Pure.
 */
import type { Config } from '../config/settings.ts';
import type { Limits } from './state.ts';

const MIB = 1024 * 1024;
/** How long new workers have to stay ready, in milliseconds: some apps die of what they started. */
export const PROBATION = 500;

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
    // Who has saved a file reloads the page at once.
    probation: config.watch ? 0 : PROBATION,
  };
}

function orNone(limit: number): number {
  return limit === 0 ? Number.POSITIVE_INFINITY : limit;
}
