/** How figures are shown in tables; what is not known is `-`. */

export function figure(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(3);
}

export function share(value: number | undefined): string {
  return value === undefined ? '-' : `${(value * 100).toFixed(1)} %`;
}
