/**
 * A map for keys that come and go all the time, such as connections, in no order. V8's own leaves its old tables behind
 * whenever it makes room, each pointing to the next: one that has grown old keeps alive whatever has been in those after
 * it, and the garbage collector copies all of that, which cost more than a connection itself.
 */
export class LiveMap<K extends object, V> {
  readonly #entries: Entry<K, V>[] = [];
  /** Where a key has its entry. */
  readonly #own = Symbol('fasticorn.entry');

  get size(): number {
    return this.#entries.length;
  }

  get(key: K): V | undefined {
    return this.#entryOf(key)?.value;
  }

  set(key: K, value: V): void {
    const known = this.#entryOf(key);
    if (known) {
      known.value = value;
      return;
    }
    const entry = { key, value, place: this.#entries.length };
    this.#entries.push(entry);
    (key as Keyed<K, V>)[this.#own] = entry;
  }

  delete(key: K): void {
    const entry = this.#entryOf(key);
    if (!entry) return;
    (key as Keyed<K, V>)[this.#own] = undefined;
    // The last one takes its place.
    const last = this.#entries.pop()!;
    if (last === entry) return;
    last.place = entry.place;
    this.#entries[entry.place] = last;
  }

  /** The values that are in it now, whatever becomes of them meanwhile. */
  values(): V[] {
    return this.#entries.map(({ value }) => value);
  }

  /** The same with their keys. */
  [Symbol.iterator](): Iterator<[K, V]> {
    return this.#entries.map(({ key, value }): [K, V] => [key, value]).values();
  }

  #entryOf(key: K): Entry<K, V> | undefined {
    // No key at all is none that is in it, as with a Map: a request that an app makes up may have no socket.
    return (key as Keyed<K, V> | undefined)?.[this.#own];
  }
}

interface Entry<K, V> {
  readonly key: K;
  value: V;
  place: number;
}

type Keyed<K, V> = Record<symbol, Entry<K, V> | undefined>;
