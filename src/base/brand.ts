/** A value whose meaning is part of its type, so that two of the same shape cannot change places. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
