/**
 * The same for @nestjs/schedule: each replica asks for the fire before it works. What a fire is called must be alike in all
 * replicas, so it is the time that the schedule had for it, and not the time at which a replica came to it.
 */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import type { OnApplicationBootstrap } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { openLeases } from 'leasekeeper';

const leases = await openLeases();
const fires = leases.cron('nest');

@Injectable()
class Jobs implements OnApplicationBootstrap {
  readonly #registry: SchedulerRegistry;
  #due = new Date(Number.NaN);

  constructor(registry: SchedulerRegistry) {
    this.#registry = registry;
  }

  onApplicationBootstrap(): void {
    this.#next();
  }

  @Cron('* * * * * *', { name: 'tick' })
  async tick(): Promise<void> {
    const due = this.#next();
    const term = await fires.claimFire('tick', due);
    if (!term) return;
    try {
      console.log(due.toISOString());
    } finally {
      fires.complete('tick', due);
    }
  }

  /** The time of the fire that is due, from when it was the next one. */
  #next(): Date {
    const due = this.#due;
    this.#due = this.#registry.getCronJob('tick').nextDate().toJSDate();
    return due;
  }
}

@Module({ imports: [ScheduleModule.forRoot()], providers: [Jobs] })
class App {}

await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
