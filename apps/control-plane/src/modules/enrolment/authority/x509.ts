// The library's container needs the polyfill before it is loaded; programs that start elsewhere would not have it.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';

export * as x509 from '@peculiar/x509';
