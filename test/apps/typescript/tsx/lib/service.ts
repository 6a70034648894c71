/** A class as frameworks with decorators have them. */
function loud(_target: object, _key: string, descriptor: PropertyDescriptor): void {
  const quiet = descriptor.value as () => string;
  descriptor.value = function (this: unknown) {
    return quiet.call(this).toUpperCase();
  };
}

export class Service {
  constructor(readonly name: string) {}

  @loud
  greet(): string {
    return 'decorated';
  }
}
