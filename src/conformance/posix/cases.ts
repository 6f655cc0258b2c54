/**
 * All cases, by the calls they are about.
 */
import type { Case } from "./case-text.js";
import { attributes } from "./cases/attributes.js";
import { data } from "./cases/data.js";
import { extended } from "./cases/extended.js";
import { listing } from "./cases/listing.js";
import { locking } from "./cases/locking.js";
import { mapping } from "./cases/mapping.js";
import { naming } from "./cases/naming.js";
import { opening } from "./cases/opening.js";
import { renaming } from "./cases/renaming.js";

export const tables: Readonly<Record<string, readonly Case[]>> = { opening, naming, renaming, attributes, data, mapping, extended, locking, listing };
