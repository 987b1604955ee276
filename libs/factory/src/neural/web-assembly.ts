/** What is used of the platform's WebAssembly; the compiler's library for Node does not describe it. */
interface WebAssemblyPlatform {
  /** Pages of 64 KiB. */
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports: object) => { readonly exports: unknown };
}
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}
export type WasmModule = object;

export const { WebAssembly: webAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyPlatform };
export const PAGE_BYTES = 65_536;
