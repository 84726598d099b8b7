// The weights of an artifact's variants: shared and own bytes.
#include "compiler/Artifact/VariantWeights.h"

#include "gtest/gtest.h"

using namespace tern;

static void expectBytes(const VariantWeights &weights, size_t variant, uint64_t shared,
                        uint64_t own) {
  const VariantWeights::Bytes bytes = weights.of(variant);
  EXPECT_EQ(bytes.shared, shared) << "variant " << variant;
  EXPECT_EQ(bytes.own, own) << "variant " << variant;
}

TEST(VariantWeights, OneVariantOwnsAllItReads) {
  VariantWeights weights({1, 20, 300});
  weights.addVariant({0, 2, 0});
  expectBytes(weights, 0, 0, 301);
}

TEST(VariantWeights, WhatTwoOfThreeReadIsShared) {
  VariantWeights weights({1, 20, 300, 4000});
  weights.addVariant({0, 1});
  weights.addVariant({1, 2, 1});
  weights.addVariant({3});
  expectBytes(weights, 0, 20, 1);
  expectBytes(weights, 1, 20, 300);
  expectBytes(weights, 2, 0, 4000);
}

TEST(VariantWeights, NumbersOfNoTensorAreLeftOut) {
  VariantWeights weights({7});
  weights.addVariant({1, UINT32_MAX});
  weights.addVariant({0});
  expectBytes(weights, 0, 0, 0);
  expectBytes(weights, 1, 0, 7);
}
