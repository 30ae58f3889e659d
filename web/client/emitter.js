// Event handlers by type.

export class Emitter {
  #handlers = new Map();

  // Returns a function that removes the handler.
  on(type, handler) {
    if (!this.#handlers.has(type)) this.#handlers.set(type, new Set());
    this.#handlers.get(type).add(handler);
    return () => this.#handlers.get(type).delete(handler);
  }

  // A handler that throws disturbs neither the call nor the other handlers.
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
