#include "tools/tern/Report.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace tern::cli {

std::string formatText(const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  std::string result(size_t(std::vsnprintf(nullptr, 0, format, arguments)), 0);
  va_end(arguments);
  std::vsnprintf(result.data(), result.size() + 1, format, again);
  va_end(again);
  return result;
}

std::string bytesText(uint64_t bytes) {
  if (bytes < 1000)
    return formatText("%llu B", static_cast<unsigned long long>(bytes));
  double value = double(bytes);
  const char *unit = "B";
  for (const char *next : {"kB", "MB", "GB", "TB"}) {
    if (value < 1000)
      break;
    value /= 1000;
    unit = next;
  }
  return formatText(value < 10 ? "%.2f %s" : value < 100 ? "%.1f %s" : "%.0f %s", value, unit);
}

void Samples::add(double value) {
  sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), value), value);
}

void Samples::add(const Samples &others) {
  for (const double value : others.sorted)
    add(value);
}

double Samples::median() const {
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double Samples::percentile(double percent) const {
  const double rank = std::ceil(percent / 100 * double(sorted.size()));
  return sorted[size_t(std::clamp(rank, 1.0, double(sorted.size()))) - 1];
}

} // namespace tern::cli
