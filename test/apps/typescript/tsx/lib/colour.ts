/** Found by an alias. */
export enum Colour {
  Red,
  Green,
}
