// Any bytes as logits saved by `tern eval`: reading fails with a message, or gives as many rows of
// numbers as the evaluation asks for. The first two bytes choose the evaluation.
#include "tools/tern/InputError.h"
#include "tools/tern/SavedLogits.h"

#include <cmath>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using namespace tern::cli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2)
    return 0;
  EvaluationText text;
  text.vocabulary = 1 + data[0] % 8;
  text.context = 2 + data[1] % 6;
  for (uint32_t i = 0; i < 2 * text.context; ++i)
    text.tokens.push_back(int32_t(i % text.vocabulary));
  const int file = memfd_create("saved-logits", MFD_CLOEXEC);
  if (file < 0 || write(file, data + 2, size - 2) != ssize_t(size - 2))
    abort();
  try {
    LogitsReader reader("/proc/self/fd/" + std::to_string(file), text);
    for (uint32_t row = 0; row < text.chunks() * text.scoredPerChunk(); ++row) {
      const std::span<const float> logits = reader.read();
      if (logits.size() != text.vocabulary)
        abort();
      for (float logit : logits)
        if (std::isnan(logit))
          abort();
    }
  } catch (const InputError &error) {
    if (*error.what() == 0)
      abort();
  }
  close(file);
  return 0;
}
