// The page's policy lets in styles that carry this nonce; libraries that write styles are given it.
export const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";
