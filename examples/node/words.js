// A title as it stands in an address: small letters, and dashes between words.
export function slug(title) {
  return title.toLowerCase().match(/[a-z0-9]+/g)?.join("-") ?? "";
}
