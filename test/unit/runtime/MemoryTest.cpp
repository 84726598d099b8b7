// Blocks and arrays: zeroed, aligned, honest about failure. Overflow-safe sizes.
#include "runtime/core/Memory.h"
#include "runtime/core/CheckedMath.h"

#include <gtest/gtest.h>

using namespace tern;

TEST(Block, IsZeroedAndAligned) {
  for (size_t size : {size_t(0), size_t(1), size_t(1000), size_t(1) << 20, (size_t(5) << 20) + 3}) {
    Block block;
    ASSERT_TRUE(block.allocate({}, size, "a test").isOk());
    EXPECT_EQ(block.size(), size);
    for (size_t i = 0; i < size; i += 4093) {
      EXPECT_EQ(block.data()[i], 0);
      block.data()[i] = 1;
    }
    if (size)
      block.data()[size - 1] = 1;
    const size_t alignment = size >= hugePageSize ? hugePageSize : blockAlignment;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data()) % alignment, 0u);
  }
}

TEST(Block, SaysWhatItCouldNotAllocate) {
  Block block;
  for (uint64_t size : {UINT64_MAX, uint64_t(1) << 62, uint64_t(PTRDIFF_MAX)}) {
    const Status status = block.allocate({}, size, "the arena");
    EXPECT_EQ(status.code(), StatusCode::outOfMemory);
    EXPECT_NE(std::string(status.message()).find("the arena"), std::string::npos);
  }
  Array<uint64_t> array;
  EXPECT_EQ(array.allocate({}, UINT64_MAX / 4, "an array").code(), StatusCode::outOfMemory);
}

TEST(Block, TakesEverythingFromTheGivenAllocator) {
  struct Counter {
    size_t live = 0;
    static void *allocate(void *self, size_t size, size_t alignment) {
      static_cast<Counter *>(self)->live += size;
      void *memory = nullptr;
      return posix_memalign(&memory, alignment, size) ? nullptr : memset(memory, 0xAA, size);
    }
    static void deallocate(void *self, void *memory, size_t size) {
      static_cast<Counter *>(self)->live -= size;
      free(memory);
    }
  } counter;
  {
    Block block;
    ASSERT_TRUE(
        block.allocate({Counter::allocate, Counter::deallocate, &counter}, 3 << 20, "").isOk());
    EXPECT_EQ(counter.live, size_t(3) << 20);
    EXPECT_EQ(block.data()[12345], 0);
    Block moved = std::move(block);
    EXPECT_EQ(block.data(), nullptr);
  }
  EXPECT_EQ(counter.live, 0u);
}

TEST(CheckedSize, RemembersOverflow) {
  const CheckedSize large(UINT64_MAX);
  EXPECT_TRUE(large.isValid());
  EXPECT_FALSE((large + 1).isValid());
  EXPECT_FALSE((large + 1 + 5).isAtMost(UINT64_MAX));
  EXPECT_FALSE((CheckedSize(uint64_t(1) << 40) * (uint64_t(1) << 40)).isValid());
  EXPECT_FALSE((CheckedSize(uint64_t(1) << 40) * (uint64_t(1) << 40) * 0).isValid());
  EXPECT_FALSE(large.alignedTo(64).isValid());
  EXPECT_EQ(CheckedSize(65).alignedTo(64).value(), 128u);
}
