/**
 * An ext4 on a disk that can be made slow, or made to fail, and be well again: a loop device over an image that
 * sick-disk-server.ts serves.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dropPages } from "../os/files.js";

export type Health = "well" | "fail" | "fail-reads" | `slow ${number}`;

export class SickDisk {
  /** Where the ext4 is mounted. */
  readonly mountpoint: string;
  readonly #directory: string;
  #server: ChildProcess;

  /** @param directory an empty one, for everything of the disk but its mount. */
  static async open(directory: string, mountpoint: string, mebibytes: number): Promise<SickDisk> {
    const image = join(directory, "image");
    for (const made of [join(directory, "disk"), mountpoint]) mkdirSync(made, { recursive: true, mode: 0o700 });
    command("truncate", "-s", `${mebibytes}M`, image);
    command("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image);
    writeFileSync(join(directory, "state"), "well");
    const disk = new SickDisk(directory, mountpoint, serve(directory));
    try {
      await disk.#mount();
    } catch (error) {
      await disk.close();
      throw error;
    }
    return disk;
  }
  private constructor(directory: string, mountpoint: string, server: ChildProcess) {
    this.#directory = directory;
    this.mountpoint = mountpoint;
    this.#server = server;
  }

  /** From the next block on. What the kernel has in memory it still has. */
  become(health: Health): void {
    writeFileSync(join(this.#directory, "state"), health);
  }
  /** Has the kernel forget the data of a file there, which the disk is asked for again then. */
  forget(name: string): void {
    const fd = openSync(join(this.mountpoint, name), "r");
    fsyncSync(fd);
    dropPages(fd, 0, 0);
    closeSync(fd);
  }
  async #mount(): Promise<void> {
    const [said] = (await Promise.race([once(this.#server.stdout!, "data"), once(this.#server, "exit")])) as [unknown];
    if (!Buffer.isBuffer(said)) throw new Error("the disk's server did not begin");
    command("mount", "-o", "loop", join(this.#directory, "disk", "image"), this.mountpoint);
    chmodSync(this.mountpoint, 0o700);
  }
  /** Its mount is detached, and whoever has something of it open has a disk that answers nothing but errors. */
  async lose(): Promise<void> {
    command("umount", "-l", this.mountpoint);
    this.#server.kill("SIGKILL");
    await once(this.#server, "exit");
    command("umount", "-l", join(this.#directory, "disk"));
  }
  /** The same disk, mounted at the same place: for the kernel another one. */
  async comeBack(): Promise<void> {
    this.#server = serve(this.#directory);
    await this.#mount();
  }
  async close(): Promise<void> {
    this.become("well");
    spawnSync("umount", ["-q", this.mountpoint]);
    spawnSync("umount", ["-q", "-l", this.mountpoint]);
    spawnSync("umount", ["-q", join(this.#directory, "disk")]);
    spawnSync("umount", ["-q", "-l", join(this.#directory, "disk")]);
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      this.#server.kill("SIGKILL");
      await once(this.#server, "exit");
    }
  }
}

function serve(directory: string): ChildProcess {
  return spawn(process.execPath, [fileURLToPath(new URL("./sick-disk-server.js", import.meta.url)), join(directory, "image"), join(directory, "disk"), join(directory, "state")], { stdio: ["ignore", "pipe", "inherit"], cwd: "/" });
}
function command(name: string, ...args: string[]): void {
  const end = spawnSync(name, args, { encoding: "utf8" });
  if (end.status !== 0) throw new Error(`${name}: ${end.stderr}`);
}
