#include "tools/tern/Signature.h"
#include "tools/tern/InputError.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#if defined(TERN_HAS_SODIUM)
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace tern::cli {

#if !defined(TERN_HAS_SODIUM)

void requireSignature(int, const std::string &artifact, const std::string &) {
  throw InputError(artifact,
                   "--require-key: this tern was built without libsodium and cannot check "
                   "signatures");
}

#else

namespace {

using PublicKey = std::array<uint8_t, crypto_sign_ed25519_PUBLICKEYBYTES>;

constexpr size_t largestKeyFile = size_t(1) << 16;
/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
constexpr std::array<uint8_t, 12> keyPrefix = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                               0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

/// At most `most` bytes and one more, so that a longer file can be told.
std::string readSmallFile(const std::string &path, size_t most, const std::string &hint) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string bytes(most + 1, 0);
  if (!file || !(file.read(bytes.data(), std::streamsize(bytes.size())), file.eof() || file.good()))
    throw InputError(path,
                     std::string("cannot be read: ") + std::strerror(errno ? errno : EIO) + hint);
  bytes.resize(size_t(file.gcount()));
  return bytes;
}

PublicKey readPublicKey(const std::string &path) {
  const std::string text = readSmallFile(path, largestKeyFile, "; give a public key in PEM form");
  if (text.find("PRIVATE KEY-----") != std::string::npos)
    throw InputError(path, "holds a private key; keep that secret and give the public one: "
                           "openssl pkey -in KEY -pubout -out KEY.pub");
  const std::string begin = "-----BEGIN PUBLIC KEY-----", end = "-----END PUBLIC KEY-----";
  const size_t first = text.find(begin);
  const size_t last = first == std::string::npos ? first : text.find(end, first);
  if (last == std::string::npos)
    throw InputError(path, "holds no public key in PEM form (-----BEGIN PUBLIC KEY-----)");
  std::vector<uint8_t> decoded(text.size());
  size_t size = 0;
  const char *stop = nullptr;
  const char *body = text.data() + first + begin.size();
  const size_t bodySize = last - first - begin.size();
  if (sodium_base642bin(decoded.data(), decoded.size(), body, bodySize, "\r\n ", &size, &stop,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      stop != body + bodySize)
    throw InputError(path, "its public key is not in base64: the file is damaged");
  PublicKey key;
  if (size != keyPrefix.size() + key.size() ||
      std::memcmp(decoded.data(), keyPrefix.data(), keyPrefix.size()) != 0)
    throw InputError(path, "is no Ed25519 key; make one with openssl genpkey -algorithm ed25519");
  std::memcpy(key.data(), decoded.data() + keyPrefix.size(), key.size());
  return key;
}

/// The table part with its size before and its digest behind it: the message that is signed.
std::vector<uint8_t> readHeader(int descriptor, const std::string &artifact) {
  constexpr uint64_t digestSize = 32;
  uint32_t tableSize = 0;
  struct stat info;
  if (fstat(descriptor, &info) != 0)
    throw InputError(artifact, std::string("cannot be read: ") + std::strerror(errno));
  std::vector<uint8_t> header;
  if (pread(descriptor, &tableSize, sizeof tableSize, 0) == ssize_t(sizeof tableSize) &&
      sizeof tableSize + tableSize + digestSize <= uint64_t(info.st_size)) {
    header.resize(sizeof tableSize + tableSize + digestSize);
    size_t done = 0;
    while (done < header.size()) {
      const ssize_t count =
          pread(descriptor, header.data() + done, header.size() - done, off_t(done));
      if (count <= 0)
        break;
      done += size_t(count);
    }
    if (done == header.size())
      return header;
  }
  throw InputError(artifact, "is no whole .tern file: it ends within its header");
}

} // namespace

void requireSignature(int descriptor, const std::string &artifact, const std::string &keyFile) {
  if (sodium_init() < 0)
    throw InputError("libsodium", "cannot be used on this machine");
  const PublicKey key = readPublicKey(keyFile);
  const std::string path = signatureName(artifact);
  const std::string signature = readSmallFile(
      path, crypto_sign_ed25519_BYTES, "; --require-key refuses artifacts that are not signed");
  if (signature.size() != crypto_sign_ed25519_BYTES)
    throw InputError(path, "is no Ed25519 signature: these have " +
                               std::to_string(crypto_sign_ed25519_BYTES) + " bytes");
  const std::vector<uint8_t> header = readHeader(descriptor, artifact);
  if (crypto_sign_ed25519_verify_detached(reinterpret_cast<const uint8_t *>(signature.data()),
                                          header.data(), header.size(), key.data()) != 0)
    throw InputError(artifact, path + " is no signature of this file by the key " + keyFile +
                                   ": it was made with another key, or one of the files was "
                                   "changed");
}

#endif

} // namespace tern::cli
