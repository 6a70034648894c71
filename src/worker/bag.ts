/**
 * A set for what comes and goes all the time, such as connections, in no order. V8's Map and Set would do, but leave their
 * old tables behind whenever they make room, each pointing to the next: one that has grown old keeps alive whatever has
 * been in those after it, and the garbage collector copies all of that, which cost more than a connection itself.
 */
export class Bag<T extends object> {
  readonly #members: T[] = [];
  /** Where a member is. */
  readonly #place: symbol = Symbol('fasticorn.place');

  get size(): number {
    return this.#members.length;
  }

  /** Takes something that is not in it. */
  add(member: T): void {
    (member as Placed)[this.#place] = this.#members.length;
    this.#members.push(member);
  }

  /** Lets go of something, if it is a member. */
  delete(member: T): void {
    const place = (member as Placed)[this.#place];
    if (place === undefined || this.#members[place] !== member) return;
    const last = this.#members.pop()!;
    if (last === member) return;
    this.#members[place] = last;
    (last as Placed)[this.#place] = place;
  }

  /** Those that are in it now, whatever becomes of them meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    return [...this.#members].values();
  }
}

type Placed = Record<symbol, number | undefined>;
