// The programs of the package, each as one file below programs/, from what tsc has put below dist/: a process or thread
// that loads one file begins in half the processor time that it takes to find and read a hundred.
//
// Every module goes on to see the URL it would have at its place below programs/, so that what starts a thread or another
// program by its place beside itself finds that one's file there.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(top, "dist");
/** Processes and threads of the commands `sluice` and `sluiced`. */
const programs = [
  "cli/main", "cli/demo/map-file", "daemon/main", "daemon/watchdog", "daemon/mount-users", "daemon/holder/holder", "daemon/reactor/thread", "daemon/reactor/side-thread",
  "daemon/event-log/worker", "volume/pool/worker", "coordination/shared-volume/worker", "simulator/main", "simulator/worker",
];

/** `import.meta.url` of each module as if it stood alone. */
function ownUrls(entry) {
  return {
    name: "own-urls",
    setup(context) {
      context.onLoad({ filter: /\.js$/ }, ({ path }) => {
        const text = readFileSync(path, "utf8");
        if (!text.includes("import.meta.url")) return undefined;
        const place = relative(dirname(entry), path);
        const url = `new URL(${JSON.stringify(place.startsWith(".") ? place : `./${place}`)}, import.meta.url).href`;
        return { contents: text.replaceAll("import.meta.url", url), loader: "js" };
      });
    },
  };
}

export async function bundle() {
  await Promise.all(programs.map((program) => {
    const entry = join(dist, `${program}.js`);
    return build({
      entryPoints: [entry], outfile: join(top, "programs", `${program}.js`), bundle: true, platform: "node", format: "esm",
      target: "node20", packages: "external", logLevel: "warning", plugins: [ownUrls(entry)],
    });
  }));
  writeFileSync(join(top, "programs", ".built"), ""); // bin/build-when-needed.mjs goes by its time
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await bundle();
