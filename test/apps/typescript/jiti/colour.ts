/** Found without its extension. */
export enum Colour {
  Red,
  Green,
}
