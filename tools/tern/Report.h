// Numbers for people and summaries of repeated measurements.
#ifndef TERN_TOOLS_TERN_REPORT_H
#define TERN_TOOLS_TERN_REPORT_H

#include <cstdint>
#include <string>
#include <vector>

namespace tern::cli {

/// "1.23 MB", powers of 1000 as in file sizes.
std::string bytesText(uint64_t bytes);
/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string formatText(const char *format, ...);

/// Values sorted ascending.
class Samples {
public:
  void add(double value);
  void add(const Samples &others);
  bool empty() const { return sorted.empty(); }
  double min() const { return sorted.front(); }
  double max() const { return sorted.back(); }
  /// The mean of the two middle values if their number is even.
  double median() const;
  /// Nearest rank: the smallest value that at least `percent` of the values do not exceed.
  double percentile(double percent) const;

private:
  std::vector<double> sorted;
};

} // namespace tern::cli

#endif
