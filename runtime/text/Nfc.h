// Unicode normalization form C, with the artifact's tables.
//
// Text that is already in NFC, which nearly all text is, is found so by one table look-up per
// character and not copied. Invalid UTF-8 passes through unchanged.
#ifndef TERN_RUNTIME_TEXT_NFC_H
#define TERN_RUNTIME_TEXT_NFC_H

#include "runtime/core/Status.h"
#include "runtime/text/GrowableArray.h"
#include "tern_generated.h"

#include <string_view>

namespace tern::text {

/// Buffers of normalizeNfc.
struct NfcWorkspace {
  struct Mark {
    uint32_t codePoint;
    uint32_t combiningClass;
  };
  GrowableArray<char> output;
  GrowableArray<Mark> run;
  GrowableArray<Mark> sorted;
};

/// Sets `normalized` to `text` in NFC: to `text` itself, or to a view of workspace.output.
Status normalizeNfc(const fb::NfcTables &tables, std::string_view text, NfcWorkspace &workspace,
                    std::string_view &normalized);

} // namespace tern::text

#endif
