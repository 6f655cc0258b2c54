/**
 * Serves requests that came as user messages: moves in the background, their results in the answer; questions at once.
 *
 * Owns      progress and cancellation of requests under way.
 */
import type { Event } from "../client/events.js";
import type { FileMover } from "./file-mover.js";
import {
  decodeRequest, encodeAnswers, failureOf, type ItemResult, type MigratorAnswers, type MigratorRequest, type MigratorStatus, type MoveVerb,
  type ProgressAnswer, type RequestItem, type StateResult,
} from "./request-format.js";

interface UnderWay extends ProgressAnswer {
  itemsDone: number;
  bytesDone: number;
  isCancelled: boolean;
  batches: number;
}

export class RequestServer {
  readonly #mover: FileMover;
  readonly #status: () => Promise<MigratorStatus>;
  readonly #underWay = new Map<string, UnderWay>();
  constructor(mover: FileMover, status: () => Promise<MigratorStatus>) {
    this.#mover = mover;
    this.#status = status;
  }

  async serve(event: Event & { type: "user" }): Promise<void> {
    const request = decodeRequest(event.data);
    if (request === undefined) {
      if (event.isOutstanding) await event.abort("EINVAL");
      return;
    }
    let answers: MigratorAnswers;
    try {
      answers = await this.#answer(request);
    } catch (error) {
      answers = { refused: failureOf(error as Error) };
    }
    if (event.isOutstanding) await event.continue(encodeAnswers(answers));
  }

  async #answer(request: MigratorRequest): Promise<MigratorAnswers> {
    switch (request.op) {
      case "status":
        return { status: await this.#status() };
      case "progress": {
        const { itemsDone, bytesDone } = this.#underWay.get(request.id) ?? { itemsDone: 0, bytesDone: 0 };
        return { progress: { itemsDone, bytesDone } };
      }
      case "cancel": {
        const underWay = this.#underWay.get(request.id);
        if (underWay !== undefined) underWay.isCancelled = true;
        return {};
      }
      case "state":
        return { states: await Promise.all(request.items.map((item) => this.#state(item))) };
      case "migrate": case "premigrate": case "release": case "recall":
        return { items: await this.#moveAll(request.op, request.id, request.items) };
    }
  }

  async #state(item: RequestItem): Promise<StateResult> {
    try {
      return { ok: true, ...(await this.#mover.state(item.handle)) };
    } catch (error) {
      return { ok: false, ...failureOf(error as Error) };
    }
  }

  async #moveAll(verb: MoveVerb, id: string, items: readonly RequestItem[]): Promise<ItemResult[]> {
    const underWay = this.#underWay.get(id) ?? { itemsDone: 0, bytesDone: 0, isCancelled: false, batches: 0 };
    this.#underWay.set(id, underWay);
    underWay.batches += 1;
    try {
      return await Promise.all(items.map((item) => this.#moveOne(verb, item, underWay)));
    } finally {
      underWay.batches -= 1;
      if (underWay.batches === 0) this.#underWay.delete(id);
    }
  }
  async #moveOne(verb: MoveVerb, item: RequestItem, underWay: UnderWay): Promise<ItemResult> {
    const order = {
      handle: item.handle, ...(item.path === undefined ? {} : { path: item.path }), isCancelled: () => underWay.isCancelled,
      progressed: (bytes: number) => {
        underWay.bytesDone += bytes;
      },
    };
    try {
      const outcome = await (verb === "recall" ? this.#mover.recall(order) : this.#mover.migrate(verb, order));
      return { ok: true, state: outcome.state, changed: outcome.kind === "done", bytes: outcome.bytes };
    } catch (error) {
      return { ok: false, ...failureOf(error as Error) };
    } finally {
      underWay.itemsDone += 1;
    }
  }
}
