/**
 * Compares a case as it was played on a mount with the same case on the bare file system.
 */
import type { Case } from "./case-text.js";
import type { Played } from "./stage.js";
import { errno } from "../../os/errno.js";

const isErrno = (result: string) => result in errno || result.startsWith("errno ");
/** Why the bare file system does not do what the case says: then the case is wrong. */
export function wrongCase(played: readonly Played[]): string[] {
  return played.flatMap(({ step, result, changes }) => {
    const wrong = step.expected === undefined ? isErrno(result) || /^(there is no|failed:|ended)/.test(result) : result !== step.expected;
    return [
      ...(wrong ? [`${step.text}: gave ${result}`] : []),
      ...(changes.includes("NOT AS") ? [`${step.text}: ${changes}`] : []),
    ];
  });
}
/**
 * What a mount does otherwise, but for what is documented; and what is documented and not so. `optional`: reasons that this
 * kind of mount has for some files only.
 */
export function differences(bare: readonly Played[], mounted: readonly Played[], where: "one" | "two" | "unseen", optional: readonly string[] = []): string[] {
  const counts = { one: ["mount"], two: ["mount", "two"], unseen: ["mount", "two", "unseen"] }[where];
  return mounted.flatMap(({ step, result, changes }, at) => {
    const other = bare[at]!;
    const documented = step.difference !== undefined && counts.includes(step.difference.where) ? step.difference : undefined;
    const wanted = documented?.result ?? other.result;
    const isOptional = documented !== undefined && optional.includes(documented.reason);
    const isSameTree = changes === other.changes;
    return [
      ...(result === wanted || (isOptional && result === other.result) ? [] : [`${step.text}: gave ${result}, ${documented?.result === undefined ? "bare" : "documented"} ${wanted}`]),
      ...(documented?.isOfTree === true || isSameTree ? [] : [`${step.text}: did "${changes}", bare "${other.changes}"`]),
      ...(documented?.isOfTree === true && isSameTree && !isOptional ? [`${step.text}: did what the bare file system does, and is documented otherwise`] : []),
    ];
  });
}
export function reasonsOf(cases: readonly Case[]): Set<string> {
  return new Set(cases.flatMap(({ steps }) => steps.flatMap(({ difference }) => (difference === undefined ? [] : [difference.reason]))));
}
