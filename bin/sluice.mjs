#!/usr/bin/env node
import { buildWhenNeeded } from "./build-when-needed.mjs";

buildWhenNeeded();
await import("../programs/cli/main.js");
