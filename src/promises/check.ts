/**
 * How a promise is judged: what must hold, and what to say when it does not. The simulation ends its world there; a run of
 * real processes notes it and goes on.
 */
export type Check = (holds: boolean, say: () => string) => void;
