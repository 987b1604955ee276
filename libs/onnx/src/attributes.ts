import type { AttributeProto, NodeProto, TensorProto } from './messages.ts';

/** An integer attribute of a node, or what the operator takes where it is left out. */
export function intAttribute(node: NodeProto, name: string, otherwise: number): number {
  const value = attributeOf(node, name)?.i;
  return value === undefined ? otherwise : Number(value);
}

export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  const attribute = attributeOf(node, name);
  return attribute === undefined ? undefined : attribute.ints.map(Number);
}

export function floatAttribute(node: NodeProto, name: string, otherwise: number): number {
  return attributeOf(node, name)?.f ?? otherwise;
}

export function stringAttribute(node: NodeProto, name: string): string | undefined {
  const bytes = attributeOf(node, name)?.s;
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

export function tensorAttribute(node: NodeProto, name: string): TensorProto | undefined {
  return attributeOf(node, name)?.t;
}

export function attributeOf(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((attribute) => attribute.name === name);
}

/** Whether the node is an operator of the standard set, which has two names. */
export function isStandard({ domain }: NodeProto): boolean {
  return domain === undefined || domain === '' || domain === 'ai.onnx';
}
