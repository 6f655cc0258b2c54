/**
 * Which seed found each planted fault when it was last looked for: a trial begins there. Written by
 * `npm run simulate:mutants -- --record`; a change of scenes or machines may make it untrue, which costs time and nothing else.
 */
export const mutantSeeds: Readonly<Record<string, number>> = {
};
