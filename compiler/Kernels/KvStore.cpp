// Writing a call's keys and values into a cache: a scatter, one row after the other.
//
// Codes are written by two scatters into the bytes of a head's block: the scales of all rows, then
// the codes. Both loop over rows under one name, so that what a row needs is computed beside
// either.
//
// Floats are rounded as the CPU does: NaN to NaN, and to infinity what f16 cannot hold. Of codes, a
// NaN makes the scale of its position and head NaN, a magnitude above f16's largest number times
// 127 makes it infinite, and one that f16 rounds to 0 makes it 0; the codes are then 0. The other
// heads and positions are as without it.
#include "compiler/Kernels/KvCacheAccess.h"
#include <limits>

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace tern {

constexpr int keyTile = int(KvType::keyTile), blockPositions = int(KvType::blockPositions);
constexpr int keyTiles = blockPositions / keyTile;

/// Elements of one head's keys or values of a block: of codes, their bytes with the scales'.
static int64_t headElements(KvType type, int64_t size) {
  return blockPositions * (size + (type.hasScales() ? KvType::scaleBytes : 0));
}

llvm::SmallVector<DimensionBinding, 5> keyDimensions(KvType type) {
  int64_t size = type.getHeadSize(), head = headElements(type, size);
  return {dimension(keyTile, 1), dimension(size, keyTile), dimension(keyTiles, head / keyTiles),
          dimension(type.getHeads(), head), dimension(maxCacheBlocks, head * type.getHeads())};
}

llvm::SmallVector<DimensionBinding, 4> valueDimensions(KvType type) {
  int64_t size = type.getValueSize(), head = headElements(type, size);
  return {dimension(size, 1), dimension(blockPositions, size), dimension(type.getHeads(), head),
          dimension(maxCacheBlocks, head * type.getHeads())};
}

Halide::Type cacheElementType(KvType type) {
  unsigned bits = type.getElement().getIntOrFloatBitWidth();
  return type.hasScales() ? Halide::Int(int(bits)) : Halide::Float(int(bits));
}

Halide::ImageParam addKeyScales(KernelBuilder &builder, const KvValue &cache) {
  int64_t size = cache.type.getHeadSize(), heads = cache.type.getHeads();
  int64_t head = headElements(cache.type, size) / KvType::scaleBytes;
  return builder.addInput(cache.keys, Halide::Float(16),
                          {dimension(keyTile, 1), dimension(keyTiles, head / keyTiles),
                           dimension(heads, head), dimension(maxCacheBlocks, head * heads)},
                          size * keyTile);
}

Halide::ImageParam addValueScales(KernelBuilder &builder, const KvValue &cache) {
  int64_t size = cache.type.getValueSize(), heads = cache.type.getHeads();
  int64_t head = headElements(cache.type, size) / KvType::scaleBytes;
  return builder.addInput(cache.values, Halide::Float(16),
                          {dimension(blockPositions, 1), dimension(heads, head),
                           dimension(maxCacheBlocks, head * heads)},
                          size * blockPositions);
}

BlockTable::BlockTable(KernelBuilder &builder, const KvValue &cache) {
  Affine blocksPerSlot;
  blocksPerSlot.perBlocksPerSlot = 1;
  table = builder.addInput(
      cache.blockTable, Halide::Int(32),
      {{fixed(0), blocksPerSlot, fixed(1)}, {fixed(0), fixed(maxSlots), blocksPerSlot}});
}

Expr BlockTable::block(const Expr &cacheBlock, const Expr &slot) const {
  return Halide::unsafe_promise_clamped(table(cacheBlock, slot), 0, maxCacheBlocks - 1);
}

bool feedsKvStore(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    return isa<KvStoreOp>(user) ||
           (isa<RmsNormOp, LayerNormOp, RopeOp>(user) && feedsKvStore(user->getResult(0)));
  });
}

namespace {

constexpr int infinityBits = 0x7F800000; ///< of f32; those of NaN are above
constexpr int maxBits = 0x7FFFFFFF;      ///< of a magnitude

Expr nan16() { return Halide::reinterpret<Halide::float16_t>(Halide::cast<uint16_t>(0x7E00)); }

class KvStoreBuilder {
public:
  KvStoreBuilder(KernelBuilder &builder, KvStoreOp op)
      : builder(builder), cache(builder.get<KvValue>(op.getCache())), type(cache.type),
        key(builder.get<FloatValue>(op.getKey())), value(builder.get<FloatValue>(op.getValue())),
        positions(builder.get<IntValue>(op.getPositions())),
        slots(builder.get<IntValue>(op.getSlots())), table(builder, cache) {}

  KvStoreStages build();

private:
  Expr position(const Expr &row) const { return boundedPosition(positions, row); }
  Expr blockOf(const Expr &row) const {
    return table.block(position(row) / blockPositions, boundedSlot(slots, row));
  }
  void addOutput(Func func, unsigned argument, llvm::ArrayRef<DimensionBinding> dimensions) {
    llvm::SmallVector<KernelBuilder::OutputBounds> bounds;
    for (const DimensionBinding &d : dimensions)
      bounds.push_back({0, int(d.extent.constant)});
    builder.addOutput(std::move(func), argument, dimensions, bounds);
  }
  /// A number as the cache holds it. Without instructions for it, Halide rounds NaN to an infinite
  /// f16.
  Expr rounded(const Expr &x) const {
    Expr element = Halide::cast(cacheElementType(type), x);
    if (element.type() != Halide::Float(16))
      return element;
    Expr isNaN = (Halide::reinterpret<int32_t>(x) & maxBits) > infinityBits;
    return Halide::select(isNaN, nan16(), element);
  }
  void storeFloats();

  /// What tells keys from values: the elements of a head, and at which bytes of its block those of
  /// a position lie.
  struct CodePlaces {
    std::string name;
    unsigned argument;
    int size;
    const FloatValue &x;
    std::function<Expr(const Expr &position, const Expr &element)> code;
    std::function<Expr(const Expr &position)> scale;
  };
  Func storeCodes(const CodePlaces &places, CodeStages &codes, Halide::RVar &row);

  KernelBuilder &builder;
  const KvValue &cache;
  KvType type;
  const FloatValue &key, &value;
  const IntValue &positions, &slots;
  BlockTable table;
  Var element{"element"}, head{"head"};
  KvStoreStages stages;
};

void KvStoreBuilder::storeFloats() {
  Halide::Type elementType = cacheElementType(type);
  Var lane("lane"), tile("tile"), positionInBlock("position"), block("block");
  stages.keys = Func("keys");
  RDom keyRows(builder.first(), builder.count(), "keyRows");
  Expr at = position(keyRows);
  stages.keys(lane, element, tile, head, block) = Halide::undef(elementType);
  stages.keys(at % keyTile, element, at % blockPositions / keyTile, head, blockOf(keyRows)) =
      rounded(key.element(head * stages.headSize + element, keyRows));
  stages.keysRow = keyRows.x;
  addOutput(stages.keys, cache.keys, keyDimensions(type));

  stages.values = Func("values");
  RDom valueRows(builder.first(), builder.count(), "valueRows");
  stages.values(element, positionInBlock, head, block) = Halide::undef(elementType);
  stages.values(element, position(valueRows) % blockPositions, head, blockOf(valueRows)) =
      rounded(value.element(head * stages.valueSize + element, valueRows));
  stages.valuesRow = valueRows.x;
  addOutput(stages.values, cache.values, valueDimensions(type));
}

Func KvStoreBuilder::storeCodes(const CodePlaces &places, CodeStages &codes, Halide::RVar &row) {
  Var rowVar("row"), byte("byte"), block("block");
  codes.numbers = Func(places.name + "Numbers");
  codes.numbers(element, head, rowVar) = places.x.element(head * places.size + element, rowVar);

  // Magnitudes compare like their bits, in which a NaN is above every number.
  RDom elements(0, places.size, places.name + "Elements");
  codes.peak = Func(places.name + "Peak");
  codes.peak(head, rowVar) = 0;
  codes.peak(head, rowVar) =
      Halide::max(codes.peak(head, rowVar),
                  Halide::reinterpret<int32_t>(Halide::abs(codes.numbers(elements, head, rowVar))));
  codes.peakElement = elements.x;
  // Without instructions for it, Halide rounds NaN to an infinite f16.
  Expr peak = codes.peak(head, rowVar);
  Expr scaleOfNumbers = Halide::cast<Halide::float16_t>(Halide::reinterpret<float>(peak) / 127.0f);
  codes.scale = Func(places.name + "Scale");
  codes.scale(head, rowVar) = Halide::select(peak > infinityBits, nan16(), scaleOfNumbers);

  Func bytes(places.name);
  bytes(byte, head, block) = Halide::undef<int8_t>();
  RDom scales(0, int(KvType::scaleBytes), builder.first(), builder.count(), places.name + "Scales");
  codes.scaleByte = scales.x;
  Expr at = position(scales.y), bits = Halide::reinterpret<uint16_t>(codes.scale(head, scales.y));
  bytes(places.scale(at % blockPositions) + scales.x, head, blockOf(scales.y)) =
      Halide::cast<int8_t>(bits >> Halide::cast<uint16_t>(8 * scales.x));

  RDom elementsOfRows(0, places.size, builder.first(), builder.count(), places.name + "Codes");
  codes.code = elementsOfRows.x;
  Expr codeRow = elementsOfRows.y, scale = Halide::cast<float>(codes.scale(head, codeRow));
  Expr rounded = Halide::round(codes.numbers(codes.code, head, codeRow) / scale);
  Expr code = Halide::cast<int8_t>(Halide::clamp(rounded, -127.0f, 127.0f));
  Expr isFinite = scale > 0.0f && scale < std::numeric_limits<float>::infinity();
  bytes(places.code(position(codeRow) % blockPositions, codes.code), head, blockOf(codeRow)) =
      Halide::select(isFinite, code, Halide::cast<int8_t>(0));

  row = Halide::RVar(places.name + "Row");
  bytes.update(0).rename(scales.y, row);
  bytes.update(1).rename(elementsOfRows.y, row);

  int64_t headBytes = headElements(type, places.size);
  addOutput(bytes, places.argument,
            {dimension(headBytes, 1), dimension(type.getHeads(), headBytes),
             dimension(maxCacheBlocks, headBytes * type.getHeads())});
  return bytes;
}

KvStoreStages KvStoreBuilder::build() {
  stages.element = element;
  stages.head = head;
  stages.headSize = int(type.getHeadSize());
  stages.valueSize = int(type.getValueSize());
  if (!type.hasScales()) {
    storeFloats();
    return stages;
  }
  int headSize = stages.headSize, valueSize = stages.valueSize;
  int tileBytes = int(headElements(type, headSize)) / keyTiles;
  auto keyTileAt = [=](const Expr &at) { return at / keyTile * tileBytes; };
  stages.keys = storeCodes(
      {"keys", cache.keys, headSize, key,
       [=](const Expr &at, const Expr &e) { return keyTileAt(at) + e * keyTile + at % keyTile; },
       [=](const Expr &at) {
         return keyTileAt(at) + headSize * keyTile + at % keyTile * int(KvType::scaleBytes);
       }},
      stages.keyCodes, stages.keysRow);
  stages.values = storeCodes(
      {"values", cache.values, valueSize, value,
       [=](const Expr &at, const Expr &e) { return at * valueSize + e; },
       [=](const Expr &at) { return blockPositions * valueSize + at * int(KvType::scaleBytes); }},
      stages.valueCodes, stages.valuesRow);
  return stages;
}

} // namespace

llvm::Error buildKvStore(KernelBuilder &builder, KvStoreOp op) {
  builder.stages().kvStores.push_back(KvStoreBuilder(builder, op).build());
  builder.set(op.getResult(), builder.get<KvValue>(op.getCache()));
  return llvm::Error::success();
}

} // namespace tern
