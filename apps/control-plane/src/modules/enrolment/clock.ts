/** Injection token of the time that certificates and tokens go by. */
export const CLOCK = Symbol('drover:enrolment-clock');
