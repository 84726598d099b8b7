// SHA-256 against the vectors of FIPS 180-4, and its two implementations against each other.
#include "runtime/core/Sha256.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

using tern::Sha256;

static std::string hex(const uint8_t *digest) {
  std::string text;
  for (size_t i = 0; i < Sha256::digestSize; ++i) {
    char pair[3];
    snprintf(pair, sizeof(pair), "%02x", digest[i]);
    text += pair;
  }
  return text;
}

static std::string digestOf(const std::string &message, bool instructions, size_t step) {
  Sha256 hash(instructions);
  for (size_t i = 0; i < message.size(); i += step)
    hash.update(message.data() + i, std::min(step, message.size() - i));
  uint8_t digest[Sha256::digestSize];
  hash.finish(digest);
  return hex(digest);
}

TEST(Sha256, MatchesPublishedVectors) {
  const std::pair<std::string, const char *> vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1000000, 'a'),
       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const auto &[message, expected] : vectors)
    for (bool instructions : {false, true})
      EXPECT_EQ(digestOf(message, instructions, message.size() + 1), expected);
}

TEST(Sha256, DoesNotDependOnHowTheMessageIsCut) {
  std::string message;
  for (int i = 0; i < 400; ++i)
    message += char(i * 31);
  for (size_t length = 0; length < message.size(); length += 7) {
    const std::string part = message.substr(0, length);
    const std::string expected = digestOf(part, false, length + 1);
    for (size_t step : {1u, 3u, 63u, 64u, 65u, 130u}) {
      EXPECT_EQ(digestOf(part, false, step), expected) << length << " by " << step;
      EXPECT_EQ(digestOf(part, true, step), expected) << length << " by " << step;
    }
  }
}
