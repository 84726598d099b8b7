// Stop strings against a search of the whole text, for all ways to cut it into pieces.
#include "runtime/session/StopStrings.h"

#include "runtime/session/LogProbabilities.h"
#include "runtime/session/Random.h"

#include <cmath>
#include <gtest/gtest.h>
#include <string>
#include <vector>

using namespace tern::runtime;

/// What comes out when `text` arrives in pieces of `size` bytes; sets `stopped`.
static std::string stream(const StopStrings &stops, const std::string &text, size_t size,
                          bool &stopped) {
  std::string given, held;
  stopped = false;
  for (size_t at = 0; at < text.size() && !stopped; at += size) {
    held += text.substr(at, size);
    const StopStrings::Split split = stops.split(held);
    given += held.substr(0, split.given);
    held.erase(0, split.given);
    stopped = split.stops;
    EXPECT_TRUE(stopped || held.size() < StopStrings::maxLength);
  }
  return stopped ? given : given + held;
}

TEST(StopStrings, AreFoundHoweverTheTextIsCut) {
  Random random(5);
  for (int round = 0; round < 3000; ++round) {
    const auto letters = [&](size_t most) {
      std::string text;
      for (size_t length = 1 + random.next() % most; text.size() < length;)
        text += char('a' + random.next() % 2);
      return text;
    };
    std::vector<std::string> texts;
    std::vector<const char *> pointers;
    for (int i = 0; i < 3; ++i)
      texts.push_back(letters(9));
    for (const std::string &text : texts)
      pointers.push_back(text.c_str());
    StopStrings stops;
    ASSERT_TRUE(stops.assign(pointers.data(), pointers.size()).isOk());
    const std::string text = letters(40);
    for (size_t size : {1, 2, 5, 40}) {
      bool stopped = false;
      const std::string given = stream(stops, text, size, stopped);
      size_t first = std::string::npos, firstEnd = std::string::npos;
      for (const std::string &stop : texts) {
        first = std::min(first, text.find(stop));
        if (const size_t at = text.find(stop); at != std::string::npos)
          firstEnd = std::min(firstEnd, at + stop.size());
      }
      EXPECT_EQ(stopped, first != std::string::npos);
      if (!stopped) {
        EXPECT_EQ(given, text);
        continue;
      }
      // In small pieces the first to be complete ends the text, else the first to begin.
      EXPECT_EQ(text.compare(0, given.size(), given), 0);
      EXPECT_LT(given.size(), firstEnd);
      bool beginsThere = false;
      for (const std::string &stop : texts) {
        EXPECT_EQ(given.find(stop), std::string::npos);
        beginsThere |= text.compare(given.size(), stop.size(), stop) == 0;
      }
      EXPECT_TRUE(beginsThere);
    }
  }
}

TEST(StopStrings, WithoutAnyTheTextPasses) {
  StopStrings stops;
  EXPECT_TRUE(stops.empty());
  EXPECT_EQ(stops.split("abc").given, 3u);
  EXPECT_FALSE(stops.split("abc").stops);
}

TEST(LogProbabilities, TheLogarithmIsExact) {
  for (double x = 1; x < 1e9; x *= 1.0137)
    EXPECT_NEAR(logOfAtLeastOne(x), std::log(x), 1e-15 * std::max(1.0, std::log(x))) << x;
  EXPECT_EQ(logOfAtLeastOne(1), 0);
}

TEST(LogProbabilities, SurviveNonFiniteLogits) {
  const float infinite = INFINITY, logits[] = {NAN, -infinite, 2, 2, infinite};
  LogProbabilities found;
  found.compute(logits, 4, 3, 4);
  EXPECT_NEAR(double(found.chosen), std::log(0.5), 1e-6);
  ASSERT_EQ(found.topCount, 3u) << "NaN is not among them";
  EXPECT_EQ(found.top[0].token, 2) << "the lowest token first among equals";
  EXPECT_EQ(found.top[2].logProbability, -infinite);
  found.compute(logits, 5, 4, 1);
  EXPECT_EQ(found.chosen, 0);
}
