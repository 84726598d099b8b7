#include "tools/tern/BenchKernels.h"
#include "tools/tern/PlanProfile.h"
#include "tools/tern/ProcessStart.h"
#include "tools/tern/Report.h"
#include "tools/tern/Stream.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace tern::cli {

namespace {

using Json = nlohmann::ordered_json;

struct MachineFigures {
  double readBandwidth;
  ArithmeticPeak integer, floating;

  const ArithmeticPeak *peakFor(PlanKernel::Arithmetic arithmetic) const {
    const ArithmeticPeak *peak = arithmetic == PlanKernel::Arithmetic::integer    ? &integer
                                 : arithmetic == PlanKernel::Arithmetic::floating ? &floating
                                                                                  : nullptr;
    return peak && peak->operationsPerSecond > 0 ? peak : nullptr;
  }
};

/// One kernel's calls in a forward call, together.
struct KernelFigures {
  uint32_t calls = 0;
  CallCost cost;
  Samples milliseconds; ///< one value a forward call
};

/// Forward calls of one shape.
struct Pass {
  uint32_t rows = 1, position = 0;
  Samples milliseconds, outside;            ///< outside: of kernels and copies
  std::map<int32_t, KernelFigures> kernels; ///< by number; PlanCall::copy too
};

void forward(const Model &model, tern_session *session, const std::vector<int32_t> &tokens,
             size_t first, size_t rows) {
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = rows;
  batch.tokens = tokens.data() + first;
  tern_error error = TERN_ERROR_INIT;
  check(tern_forward(session, &batch, nullptr, &error), error, model.path());
}

void truncate(const Model &model, tern_session *session, uint32_t length) {
  tern_error error = TERN_ERROR_INIT;
  check(tern_slot_truncate(session, 0, length, &error), error, model.path());
}

/// Times `samples` calls of pass.rows rows from pass.position on, after one that is not timed.
void timePass(const Model &model, tern_session *session, const PlanProfile &profile,
              PlanRecorder &recorder, const std::vector<int32_t> &tokens, uint32_t samples,
              Pass &pass) {
  std::map<uint32_t, int32_t> kernelOf; // by command
  for (const PlanCall &call : profile.calls()) {
    kernelOf[call.command] = call.kernel;
    KernelFigures &figures = pass.kernels[call.kernel];
    const CallCost cost = profile.cost(call, pass.rows, pass.position);
    ++figures.calls;
    figures.cost.weightBytes += cost.weightBytes;
    figures.cost.cacheBytes += cost.cacheBytes;
    figures.cost.activationBytes += cost.activationBytes;
    figures.cost.operations += cost.operations;
  }
  for (uint32_t sample = 0; sample <= samples; ++sample) {
    truncate(model, session, pass.position);
    recorder.clear();
    const Clock::time_point begin = Clock::now();
    forward(model, session, tokens, pass.position, pass.rows);
    const double total = milliseconds(Clock::now() - begin);
    if (sample == 0)
      continue;
    std::map<int32_t, double> spent;
    double inside = 0;
    for (const TimedWork &work : recorder.commands()) {
      const double time = double(work.end - work.begin) / 1e6;
      spent[kernelOf.at(work.command)] += time;
      inside += time;
    }
    for (auto &[kernel, figures] : pass.kernels)
      figures.milliseconds.add(spent[kernel]);
    pass.milliseconds.add(total);
    pass.outside.add(total - inside);
  }
}

Json peakJson(const ArithmeticPeak &peak) {
  if (peak.instruction.empty())
    return nullptr;
  return {{"instruction", peak.instruction}, {"operations_per_second", peak.operationsPerSecond}};
}

Json kernelJson(const std::string &name, const std::string &computes, const KernelFigures &figures,
                double passMs, const ArithmeticPeak *peak, const char *peakName,
                double readBandwidth) {
  const double ms = figures.milliseconds.median(), seconds = ms / 1000;
  const double read = double(figures.cost.weightBytes + figures.cost.cacheBytes);
  Json json{{"name", name},
            {"computes", computes},
            {"calls", figures.calls},
            {"milliseconds", ms},
            {"share", ms / passMs},
            {"weight_bytes", figures.cost.weightBytes},
            {"cache_bytes", figures.cost.cacheBytes},
            {"activation_bytes", figures.cost.activationBytes},
            {"operations", figures.cost.operations},
            {"read_bytes_per_second", nullptr},
            {"share_of_read_bandwidth", nullptr},
            {"operations_per_second", nullptr},
            {"peak", nullptr},
            {"share_of_peak", nullptr}};
  if (seconds <= 0)
    return json;
  json["read_bytes_per_second"] = read / seconds;
  if (readBandwidth > 0)
    json["share_of_read_bandwidth"] = read / seconds / readBandwidth;
  json["operations_per_second"] = double(figures.cost.operations) / seconds;
  if (peak) {
    json["peak"] = peakName;
    json["share_of_peak"] = double(figures.cost.operations) / seconds / peak->operationsPerSecond;
  }
  return json;
}

Json passJson(const Pass &pass, const PlanProfile &profile, const MachineFigures &machine) {
  const double total = pass.milliseconds.median();
  std::vector<int32_t> order; // longest first, equal ones by number
  for (const auto &[number, figures] : pass.kernels)
    order.push_back(number);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::pair(-pass.kernels.at(a).milliseconds.median(), a) <
           std::pair(-pass.kernels.at(b).milliseconds.median(), b);
  });
  Json kernels = Json::array();
  for (const int32_t number : order) {
    const PlanKernel kernel = number == PlanCall::copy
                                  ? PlanKernel{"copy", "copy", PlanKernel::Arithmetic::other}
                                  : profile.kernels()[size_t(number)];
    kernels.push_back(
        kernelJson(kernel.name, kernel.description, pass.kernels.at(number), total,
                   machine.peakFor(kernel.arithmetic),
                   kernel.arithmetic == PlanKernel::Arithmetic::integer ? "integer" : "float",
                   machine.readBandwidth));
  }
  return {{"rows", pass.rows},
          {"position", pass.position},
          {"milliseconds", total},
          {"outside_kernels_ms", pass.outside.median()},
          {"kernels", std::move(kernels)}};
}

std::string shareText(const Json &share) {
  return share.is_null() ? "-" : formatText("%.1f%%", 100 * share.get<double>());
}

void printPass(const Json &pass) {
  const double total = pass["milliseconds"], outside = pass["outside_kernels_ms"];
  writeStandardOutput(formatText("\nT = %u from position %u: %.3f ms, of which %.3f ms outside of "
                                 "kernels\n",
                                 pass["rows"].get<unsigned>(), pass["position"].get<unsigned>(),
                                 total, outside));
  writeStandardOutput(formatText("%-24s%6s%10s%8s%10s%8s%9s%10s%8s  %s\n", "kernel", "calls", "ms",
                                 "share", "read", "GB/s", "of read", "Gop/s", "of peak",
                                 "computes"));
  for (const Json &kernel : pass["kernels"]) {
    const auto rate = [&](const char *key) {
      const Json &value = kernel[key];
      return value.is_null() ? std::string("-") : formatText("%.1f", value.get<double>() / 1e9);
    };
    const uint64_t read =
        kernel["weight_bytes"].get<uint64_t>() + kernel["cache_bytes"].get<uint64_t>();
    const std::string name = kernel["name"], computes = kernel["computes"];
    writeStandardOutput(formatText(
        "%-24s%6u%10.3f%8s%10s%8s%9s%10s%8s  %s\n", name.c_str(), kernel["calls"].get<unsigned>(),
        kernel["milliseconds"].get<double>(), shareText(kernel["share"]).c_str(),
        bytesText(read).c_str(), rate("read_bytes_per_second").c_str(),
        shareText(kernel["share_of_read_bandwidth"]).c_str(), rate("operations_per_second").c_str(),
        shareText(kernel["share_of_peak"]).c_str(), computes.c_str()));
  }
}

} // namespace

Json benchKernels(const Model &model, const KernelBenchOptions &options) {
  const PlanProfile profile(model);
  const SessionHandle session = model.createSession(options.engine);
  const uint32_t context = model.contextFor(options.engine.context);
  const uint32_t batch = std::min(model.info().max_batch, context);
  std::vector<int32_t> tokens(std::max(batch, options.position + 1));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = int32_t(i * 7919 % model.info().vocabulary_size);

  PlanRecorder recorder(session.get(), options.engine.threads);
  for (uint32_t done = 0; done < options.position; done += batch)
    forward(model, session.get(), tokens, done, std::min(batch, options.position - done));
  Pass single{1, options.position, {}, {}, {}}, full{batch, 0, {}, {}, {}};
  timePass(model, session.get(), profile, recorder, tokens, options.singleRows, single);
  timePass(model, session.get(), profile, recorder, tokens, options.batches, full);

  const std::string target = model.info().target;
  const uint32_t threads = options.engine.threads;
  const MachineFigures machine{readBandwidth(profile.weights(), threads),
                               integerPeak(target, threads), floatPeak(target, threads)};
  return {{"read_bytes_per_second", machine.readBandwidth},
          {"integer_peak", peakJson(machine.integer)},
          {"float_peak", peakJson(machine.floating)},
          {"passes",
           Json::array({passJson(single, profile, machine), passJson(full, profile, machine)})}};
}

void printKernels(const Json &kernels) {
  std::string line = "\n" + bytesText(uint64_t(kernels["read_bytes_per_second"].get<double>())) +
                     "/s read of the weights";
  for (const char *key : {"integer_peak", "float_peak"})
    if (const Json &peak = kernels[key]; !peak.is_null())
      line += formatText(", %.0f Gop/s of %s", peak["operations_per_second"].get<double>() / 1e9,
                         peak["instruction"].get<std::string>().c_str());
  writeStandardOutput(line + "; a multiply-add is two operations\n");
  for (const Json &pass : kernels["passes"])
    printPass(pass);
}

} // namespace tern::cli
