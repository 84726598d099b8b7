// --require-key: refuses an artifact unless a detached signature of it fits a public key.
//
// Signed is the header: the table part with its digest, which holds the SHA-256 of every variant's
// code and of every weight unit. Signatures are Ed25519 (RFC 8032), as `openssl pkeyutl -rawin`
// makes and checks them. Links libsodium; the runtime does not know of signatures.
#ifndef TERN_TOOLS_TERN_SIGNATURE_H
#define TERN_TOOLS_TERN_SIGNATURE_H

#include <string>

namespace tern::cli {

/// Where the signature of an artifact lies: ARTIFACT.sig.
inline std::string signatureName(const std::string &artifact) { return artifact + ".sig"; }

/// Throws InputError unless the signature file is a signature, by the PEM public key in `keyFile`,
/// of the header of the open file `descriptor`. That code and weights are those the header speaks
/// of is for tern_verify_fd to check.
void requireSignature(int descriptor, const std::string &artifact, const std::string &keyFile);

} // namespace tern::cli

#endif
