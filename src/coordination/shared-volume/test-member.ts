/**
 * A member process of the coordination tests: coordination and nothing else, steered by its parent over the IPC channel.
 */
import type { CoordinationRequest } from "../../cluster/coordination-contract.js";
import { type CoordinationOptions, startCoordination } from "../start.js";

type FromParent = { readonly kind: "request"; readonly request: CoordinationRequest } | { readonly kind: "busy" | "blocked"; readonly ms: number } | { readonly kind: "stop" };

const options = JSON.parse(process.argv[2]!) as CoordinationOptions;
const say = (message: object) => process.send?.(message);

try {
  const coordination = await startCoordination(options);
  say({ kind: "started", incarnation: coordination.incarnation });
  coordination.onFact((fact) => say({ kind: "fact", fact }));
  coordination.onFailure((error) => {
    throw error;
  });
  process.on("message", async (message: FromParent) => {
    if (message.kind === "request") coordination.request(message.request);
    else if (message.kind === "busy") for (const untilMs = performance.now() + message.ms; performance.now() < untilMs; );
    else if (message.kind === "blocked") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, message.ms);
    else {
      await coordination.stop();
      process.disconnect?.();
    }
  });
  process.on("disconnect", () => process.exit(0)); // the parent is gone: leave nothing behind
} catch (error) {
  say({ kind: "refused", message: error instanceof Error ? error.message : String(error) });
  process.disconnect?.();
}
