// tern_model_options.linked_code: what binds linked kernels to an artifact.
#include "runtime/core/KernelABI.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>

using namespace tern::test;

namespace {

void unusedKernel(const TernArgs *, int32_t, int32_t) {}

class LinkedCode : public testing::Test {
protected:
  LinkedCode() : file(ToyArtifact().write()) {
    const auto *variant = tern::fb::GetSizePrefixedArtifact(file.data())->variants()->Get(0);
    std::memcpy(code.code_digest, variant->code_digest()->bytes()->data(), 32);
    target = variant->target()->str();
    kernels.assign(variant->kernels()->size(), unusedKernel);
    code.struct_size = sizeof(code);
    code.target = target.c_str();
    code.kernels = kernels.data();
    code.kernel_count = kernels.size();
    options.linked_code = &code;
  }
  void expectRefused(const char *fragment) {
    LoadedModel model(file, &options);
    EXPECT_EQ(model.handle, nullptr);
    EXPECT_EQ(model.error.status, TERN_INVALID_ARGUMENT) << model.error.message;
    EXPECT_NE(std::string(model.error.message).find(fragment), std::string::npos)
        << model.error.message;
  }

  AlignedBytes file;
  std::string target;
  std::vector<tern_kernel_function> kernels;
  tern_linked_code code = {};
  tern_model_options options = TERN_MODEL_OPTIONS_INIT;
};

} // namespace

TEST_F(LinkedCode, ThatFitsIsUsedInsteadOfTheImage) {
  static int calls;
  calls = 0;
  kernels[0] = [](const TernArgs *, int32_t, int32_t) { ++calls; };
  LoadedModel model(file, &options);
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  ToySession session(model.handle);
  const int32_t token = 1;
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = 1;
  batch.tokens = &token;
  tern_error error = TERN_ERROR_INIT;
  ASSERT_EQ(tern_forward(session.handle, &batch, nullptr, &error), TERN_OK) << error.message;
  EXPECT_GT(calls, 0);
}

TEST_F(LinkedCode, OfAnotherDigestIsRefused) {
  code.code_digest[31] ^= 1;
  expectRefused("not those of this artifact");
}

TEST_F(LinkedCode, OfAnotherNumberOfKernelsIsRefused) {
  --code.kernel_count;
  expectRefused("not those of this artifact");
}

TEST_F(LinkedCode, OfATargetOtherThanTheOneAskedForIsRefused) {
  options.target = "another";
  expectRefused("'another' is asked for");
}

TEST_F(LinkedCode, ThatIsIncompleteIsRefused) {
  kernels.back() = nullptr;
  expectRefused("a linked kernel");
  code.kernels = nullptr;
  expectRefused("no target or kernels");
  code.struct_size = 0;
  expectRefused("struct_size");
}

TEST_F(LinkedCode, OfATargetThatTheArtifactLacksIsRefused) {
  code.target = "x86_64-other";
  LoadedModel model(file, &options);
  EXPECT_EQ(model.handle, nullptr);
  EXPECT_EQ(model.error.status, TERN_NOT_FOUND) << model.error.message;
}

TEST_F(LinkedCode, DoesNotReplaceTheChecksOfTheArtifact) {
  const auto *variant = tern::fb::GetSizePrefixedArtifact(file.data())->variants()->Get(0);
  file[variant->code()->offset() + 100] ^= 1;
  LoadedModel model(file, &options);
  EXPECT_EQ(model.handle, nullptr);
  EXPECT_EQ(model.error.status, TERN_INVALID_ARTIFACT) << model.error.message;
}
