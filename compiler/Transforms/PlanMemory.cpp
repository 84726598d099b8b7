// plan-memory: offsets of arena buffers.
//
// Greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
// 2020): buffers from largest to smallest, each at the lowest offset where it overlaps no buffer
// placed before that is alive at the same time. Sizes are taken at the bounds of T and R, so one
// plan holds for every call.
#include "compiler/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "llvm/Support/MathExtras.h"

namespace tern {
#define GEN_PASS_DEF_PLANMEMORY
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

constexpr uint64_t bufferAlignment = 64;

struct LiveBuffer {
  plan::BufferOp op;
  uint64_t bytes;
  unsigned first, last; ///< commands, inclusive
  uint64_t offset = 0;

  bool meets(const LiveBuffer &other) const { return first <= other.last && other.first <= last; }
};

struct Memory : tern::impl::PlanMemoryBase<Memory> {
  void runOnOperation() override {
    plan::ProgramOp program = getOperation();
    SmallVector<LiveBuffer> buffers = collect(program);
    SmallVector<LiveBuffer *> bySize;
    for (LiveBuffer &buffer : buffers)
      bySize.push_back(&buffer);
    llvm::sort(bySize, [](LiveBuffer *a, LiveBuffer *b) {
      return a->bytes != b->bytes ? a->bytes > b->bytes : a < b;
    });

    SmallVector<LiveBuffer *> placed; // by ascending offset
    uint64_t peak = 0;
    for (LiveBuffer *buffer : bySize) {
      uint64_t offset = 0;
      for (LiveBuffer *other : placed) {
        if (!buffer->meets(*other))
          continue;
        if (offset + buffer->bytes <= other->offset)
          break;
        offset = std::max(offset, other->offset + other->bytes);
      }
      buffer->offset = offset;
      peak = std::max(peak, offset + buffer->bytes);
      placed.insert(
          llvm::upper_bound(placed, buffer,
                            [](LiveBuffer *a, LiveBuffer *b) { return a->offset < b->offset; }),
          buffer);
    }
    OpBuilder builder(&getContext());
    for (LiveBuffer &buffer : buffers)
      buffer.op.setOffset(buffer.offset);
    program.setArenaBytes(peak);
    program.setArenaLowerBound(lowerBound(buffers));
  }

  static SmallVector<LiveBuffer> collect(plan::ProgramOp program) {
    SmallVector<LiveBuffer> buffers;
    DenseMap<Operation *, unsigned> index;
    unsigned command = 0;
    for (Operation &op : program.getBody().front()) {
      if (auto buffer = dyn_cast<plan::BufferOp>(op)) {
        if (buffer.getSpace() != "arena")
          continue;
        uint64_t bytes = buffer.getExtent().at(program.getMaxBatch(), program.getMaxWanted());
        index[buffer] = buffers.size();
        buffers.push_back({buffer, llvm::alignTo(bytes, bufferAlignment), ~0u, 0});
        continue;
      }
      for (Value operand : op.getOperands())
        if (auto found = index.find(operand.getDefiningOp()); found != index.end()) {
          LiveBuffer &buffer = buffers[found->second];
          buffer.first = std::min(buffer.first, command);
          buffer.last = std::max(buffer.last, command);
        }
      ++command;
    }
    return buffers;
  }

  /// The largest sum of bytes alive at one command.
  static uint64_t lowerBound(ArrayRef<LiveBuffer> buffers) {
    uint64_t bound = 0;
    for (const LiveBuffer &at : buffers) {
      uint64_t sum = 0;
      for (const LiveBuffer &other : buffers)
        if (other.first <= at.first && at.first <= other.last)
          sum += other.bytes;
      bound = std::max(bound, sum);
    }
    return bound;
  }
};

} // namespace
