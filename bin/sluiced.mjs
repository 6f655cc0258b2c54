#!/usr/bin/env node
import { buildWhenNeeded } from "./build-when-needed.mjs";

buildWhenNeeded();
await import("../programs/daemon/main.js");
