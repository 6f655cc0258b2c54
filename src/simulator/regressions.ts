/**
 * Seeds that found a fault in the product, with what they showed. The tests run them for ever; a seed's history changes
 * with the scene, so what a fault needs in detail stands beside its mend, as a test or a golden conversation.
 */
export interface Regression {
  readonly scene: string;
  readonly seed: number;
  readonly nodes?: number;
  readonly showed: string;
}

export const regressions: readonly Regression[] = [
  { scene: "joined", seed: 88, showed: "a member thought dead renews its lease before the view without it is stored, and goes on in the former view while this one is in force" },
  { scene: "joined", seed: 170, showed: "two recalls of one file wait for each other when the migrator that took the right for one of them has died" },
  { scene: "joined", seed: 3163, showed: "a first record stored by a node that was out by then: others hold that there is none, register no interest, and the next right on the object did not fence them" },
  { scene: "cluster", seed: 5465, showed: "a new manager takes the older of two copies of its predecessor's versions, because that one came to its node under a later view" },
  { scene: "cluster", seed: 57, showed: "a node that was evicted while it stood still renews its lease when it wakes and answers from its old copy before it hears of the view" },
  { scene: "cluster", seed: 226, showed: "a segment of an event log is made and locked, its directory cannot be synced: the descriptor stays open, and its lock refuses each further try" },
  { scene: "cluster", seed: 1282, showed: "events that a failed sync left in a log are read by the host, and logged again under the next life of their node, which was excluded before it tried again" },
  { scene: "cluster", seed: 17514, showed: "a host removes a log and stands still; its successor drops the cursor of the log that it does not see, and the log is back when the first host's machine dies" },
  { scene: "data", seed: 306, showed: "two flushes of one file at a time: write-back that one lets through while the other syncs still runs when the guard goes back" },
  { scene: "lease", seed: 718, showed: "a renewal that took effect unknown to its holder counted from a later try, while others saw the lease as over: an old listing had made it forget the first" },
];
