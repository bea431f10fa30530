// What is recorded when, against a backend that only takes notes.
#include "runner/models/decode_graphs.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/fakes/noting_ops.h"

namespace glm::runner {
namespace {

using fakes::NotingOps;

TEST(DecodeGraphs, RunAShapeOnceBeforeItIsRecorded) {
  NotingOps ops;
  DecodeGraphs graphs;
  int enqueued = 0;
  const auto step = [&](std::int64_t sequences) {
    ASSERT_TRUE(
        graphs.run(ops, {.pool = 1, .sequences = sequences, .table_width = 4}, [&] { ++enqueued; })
            .ok());
  };
  step(1);
  EXPECT_EQ(ops.notes(), "");
  EXPECT_EQ(enqueued, 1);
  step(1);
  EXPECT_EQ(ops.notes(), "record replay ");
  EXPECT_EQ(enqueued, 2);
  step(1);
  step(2);
  step(1);
  EXPECT_EQ(ops.notes(), "record replay replay replay ");
  EXPECT_EQ(enqueued, 3);
}

TEST(DecodeGraphs, RecordOtherPoolsAndTablesAnew) {
  NotingOps ops;
  DecodeGraphs graphs;
  std::string want;
  for (const DecodeShape& shape : {DecodeShape{1, 1, 4},
                                   {2, 1, 4},
                                   {1, 1, 8},
                                   {1, 1, 4, true},
                                   {1, 1, 4, true, false, true},
                                   {1, 1, 4, true, true, true}}) {
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(graphs.run(ops, shape, [] {}).ok());
    want += "record replay ";
  }
  EXPECT_EQ(ops.notes(), want);
}

TEST(DecodeGraphs, RunAsTheyAreWhereABackendRecordsNothing) {
  NotingOps ops;
  ops.refuse();
  DecodeGraphs graphs;
  int enqueued = 0;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(graphs.run(ops, {1, 1, 4}, [&] { ++enqueued; }).ok());
  }
  EXPECT_EQ(enqueued, 5);
  EXPECT_EQ(ops.notes(), "record ");  // asked once
}

TEST(DecodeGraphs, DropTheShapeThatWasNotUsedForLongest) {
  NotingOps ops;
  DecodeGraphs graphs;
  const auto step = [&](std::int64_t sequences) {
    ASSERT_TRUE(graphs.run(ops, {.pool = 1, .sequences = sequences, .table_width = 4}, [] {}).ok());
  };
  for (int i = 0; i < 2; ++i) step(1000);
  for (std::int64_t n = 1; n < 64; ++n) step(n);
  step(1000);  // used again: 1 is the oldest now
  step(64);
  ops.clear();
  step(1000);
  EXPECT_EQ(ops.notes(), "replay ");
  step(1);  // forgotten, so it runs as it is
  EXPECT_EQ(ops.notes(), "replay ");
}

TEST(DecodeGraphs, AreOfFewNumbersOfSequencesNoneMuchLargerThanAskedFor) {
  std::set<std::int64_t> sizes;
  for (std::int64_t sequences = 1; sequences <= 256; ++sequences) {
    const std::int64_t size = recorded_sequences(sequences);
    EXPECT_GE(size, sequences);
    EXPECT_LE(3 * size, 4 * sequences) << sequences;
    EXPECT_EQ(recorded_sequences(size), size);
    sizes.insert(size);
  }
  EXPECT_LE(sizes.size(), 32u);
  EXPECT_EQ(*sizes.rbegin(), 256);
}

}  // namespace
}  // namespace glm::runner
