// The fixture of the tests of generation: a session on the toy model, and a generation's whole
// output.
#ifndef TERN_TEST_UNIT_RUNTIME_GENERATIONFIXTURE_H
#define TERN_TEST_UNIT_RUNTIME_GENERATIONFIXTURE_H

#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace tern::test {

struct Generated {
  std::vector<int32_t> tokens;
  std::string text;
  tern_finish finish = TERN_FINISH_NONE;
};

class Generation : public testing::Test {
protected:
  LoadedModel model{toyWithText()};
  tern_error error = TERN_ERROR_INIT;

  void SetUp() override { ASSERT_NE(model.handle, nullptr) << model.error.message; }

  tern_generation *begin(tern_session *session, const tern_generate_options &options,
                         const std::vector<int32_t> &prompt) {
    tern_generation *generation = nullptr;
    EXPECT_EQ(
        tern_generate_begin(session, &options, prompt.data(), prompt.size(), &generation, &error),
        TERN_OK)
        << error.message;
    return generation;
  }
  Generated collect(tern_generation *generation) {
    Generated result;
    while (result.finish == TERN_FINISH_NONE) {
      tern_piece piece = TERN_PIECE_INIT;
      if (tern_next(generation, &piece, &error) != TERN_OK) {
        ADD_FAILURE() << error.message;
        break;
      }
      result.finish = piece.finish;
      result.text.append(piece.text ? piece.text : "", piece.text_size);
      if (piece.token >= 0)
        result.tokens.push_back(piece.token);
    }
    return result;
  }
  Generated generate(tern_session *session, const tern_generate_options &options,
                     const std::vector<int32_t> &prompt) {
    return collect(begin(session, options, prompt));
  }
};

inline tern_generate_options greedy(uint32_t maxTokens) {
  tern_generate_options options = TERN_GENERATE_OPTIONS_INIT;
  options.max_tokens = maxTokens;
  options.ignore_end = 1;
  return options;
}

inline int32_t largest(const std::vector<float> &logits) {
  return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

inline const std::vector<int32_t> prompt = {40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53,
                                            54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67};

} // namespace tern::test

#endif
