// Who wants to hear of what.

export class Emitter {
  #handlers = new Map();

  // Answers a function that ends it.
  on(type, handler) {
    if (!this.#handlers.has(type)) this.#handlers.set(type, new Set());
    this.#handlers.get(type).add(handler);
    return () => this.#handlers.get(type).delete(handler);
  }

  // A handler that throws harms neither the call nor the other handlers.
  emit(type, detail = {}) {
    for (const handler of this.#handlers.get(type) ?? []) {
      try {
        handler(detail);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
