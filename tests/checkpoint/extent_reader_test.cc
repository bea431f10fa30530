// Random plans over random shards against plain reads; then everything that can end one early.
#include "runner/checkpoint/extent_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/fakes/counted_memory.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

// Slots of the given sizes in one block, as pinned memory would be.
class Ring {
 public:
  explicit Ring(const std::vector<std::size_t>& sizes) {
    std::size_t total = 0;
    for (const std::size_t size : sizes) total += size;
    memory_.resize(total);
    std::size_t at = 0;
    for (const std::size_t size : sizes) {
      slots_.push_back(std::span(memory_).subspan(at, size));
      at += size;
    }
  }
  std::span<const std::span<std::byte>> slots() const { return slots_; }

 private:
  std::vector<std::byte> memory_;
  std::vector<std::span<std::byte>> slots_;
};

class ExtentReader : public testing::Test {
 protected:
  Checkpoint checkpoint_of(const std::vector<std::vector<std::size_t>>& shards,
                           std::mt19937& random) {
    for (std::size_t shard = 0; shard < shards.size(); ++shard) {
      fakes::FakeTensors tensors;
      for (std::size_t i = 0; i < shards[shard].size(); ++i) {
        fakes::FakeTensor tensor{.dtype = "U8", .shape = {}, .bytes = {}};
        tensor.shape.push_back(static_cast<std::int64_t>(shards[shard][i]));
        tensor.bytes.resize(shards[shard][i]);
        for (std::byte& byte : tensor.bytes) byte = static_cast<std::byte>(random());
        tensors[fmt::format("t{}.{:03}", shard, i)] = std::move(tensor);
      }
      fakes::write_safetensors(folder_.path() / fmt::format("{}.safetensors", shard), tensors);
    }
    auto opened = Checkpoint::open(std::move(files_in(folder_.path())).value());
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return std::move(opened).value();
  }

  static std::vector<Extent> everything(const Checkpoint& checkpoint) {
    std::vector<Extent> extents;
    for (const TensorInfo* tensor : checkpoint.tensors()) {
      extents.push_back({.tensor = tensor,
                         .first_byte = 0,
                         .size_bytes = tensor->size_bytes,
                         .tag = extents.size()});
    }
    return extents;
  }

  fakes::TemporaryFolder folder_;
};

TEST_F(ExtentReader, DeliversWhatPlainReadsDeliver) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  std::vector<std::vector<std::size_t>> sizes(3);
  for (auto& shard : sizes) {
    for (std::size_t i = 0; i < 20; ++i) shard.push_back(below(4) == 0 ? below(3) : below(5000));
  }
  const Checkpoint checkpoint = checkpoint_of(sizes, random);
  for (int round = 0; round < 60; ++round) {
    std::vector<Extent> extents;
    for (const TensorInfo* tensor : checkpoint.tensors()) {
      for (std::size_t copies = below(3); copies > 0; --copies) {
        const std::uint64_t first = below(tensor->size_bytes + 1);
        const std::uint64_t rest = tensor->size_bytes - first;
        extents.push_back({tensor, first, below(2) == 0 ? rest : below(rest + 1), extents.size()});
      }
    }
    std::shuffle(extents.begin(), extents.end(), random);
    std::vector<std::size_t> slot_sizes(1 + below(5));
    for (std::size_t& size : slot_sizes) size = round < 3 ? 1 : 1 + below(round % 2 ? 97 : 9000);
    const Ring ring(slot_sizes);

    std::map<std::uint64_t, std::vector<std::byte>> got;
    std::map<std::uint64_t, std::uint64_t> missing;
    std::uint64_t total = 0;
    for (const Extent& extent : extents) {
      got[extent.tag].resize(extent.size_bytes);
      missing[extent.tag] = extent.size_bytes;
      total += extent.size_bytes;
    }
    std::uint64_t completed = 0;
    const std::thread::id caller = std::this_thread::get_id();
    const Status status = read_extents(
        checkpoint, extents,
        {.slots = ring.slots(),
         .threads = 1 + below(6),
         .gap_max_bytes = below(300),
         .deliver = [&](const FilledSlot& filled) -> Status {
           EXPECT_EQ(std::this_thread::get_id(), caller);
           for (const ExtentPiece& piece : filled.pieces) {
             std::vector<std::byte>& bytes = got.at(piece.tag);
             EXPECT_LE(piece.extent_offset + piece.bytes.size(), bytes.size());
             std::copy(piece.bytes.begin(), piece.bytes.end(),
                       bytes.begin() + static_cast<std::ptrdiff_t>(piece.extent_offset));
             missing.at(piece.tag) -= piece.bytes.size();
             completed += piece.bytes.size();
           }
           EXPECT_EQ(filled.completed_bytes, completed);
           EXPECT_EQ(filled.total_bytes, total);
           return Ok{};
         },
         .before_fill = {},
         .stop = {}});
    ASSERT_TRUE(status.ok()) << status.error().message;
    ASSERT_EQ(completed, total) << "round " << round;
    for (const Extent& extent : extents) {
      std::vector<std::byte> want(extent.size_bytes);
      ASSERT_TRUE(checkpoint.read(*extent.tensor, extent.first_byte, want).ok());
      ASSERT_EQ(missing[extent.tag], 0U) << "round " << round;
      ASSERT_EQ(got[extent.tag], want) << "round " << round;
    }
  }
}

TEST_F(ExtentReader, ReadsNeighboursAtOnceAndSplitsWhatIsLarge) {
  std::mt19937 random(1);
  const Checkpoint checkpoint = checkpoint_of({{10, 20, 30, 1000}}, random);
  const Ring ring({100});
  std::vector<std::size_t> pieces;
  ASSERT_TRUE(read_extents(checkpoint, everything(checkpoint),
                           {.slots = ring.slots(),
                            .deliver = [&](const FilledSlot& filled) -> Status {
                              pieces.push_back(filled.pieces.size());
                              return Ok{};
                            },
                            .before_fill = {},
                            .stop = {}})
                  .ok());
  EXPECT_EQ(pieces, (std::vector<std::size_t>{4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
}

TEST_F(ExtentReader, DeliversNothingOfNothing) {
  std::mt19937 random(1);
  const Checkpoint checkpoint = checkpoint_of({{0, 0, 7}}, random);
  const Ring ring({4});
  int deliveries = 0;
  const ExtentReading reading{.slots = ring.slots(),
                              .deliver = [&](const FilledSlot&) -> Status {
                                ++deliveries;
                                return Ok{};
                              },
                              .before_fill = {},
                              .stop = {}};
  EXPECT_TRUE(read_extents(checkpoint, {}, reading).ok());
  EXPECT_TRUE(read_extents(checkpoint, {{checkpoint.tensors()[2], 7, 0, 0}}, reading).ok());
  EXPECT_EQ(deliveries, 0);
}

TEST_F(ExtentReader, AsksBeforeItFillsASlot) {
  std::mt19937 random(1);
  const Checkpoint checkpoint = checkpoint_of({{5000, 3000}}, random);
  const Ring ring({64, 64, 64});
  std::array<std::atomic<int>, 3> asked = {};
  std::array<int, 3> delivered = {};
  std::array<std::atomic<bool>, 3> in_delivery = {};
  const Status status = read_extents(checkpoint, everything(checkpoint),
                                     {.slots = ring.slots(),
                                      .deliver = [&](const FilledSlot& filled) -> Status {
                                        in_delivery[filled.slot] = true;
                                        ++delivered[filled.slot];
                                        EXPECT_EQ(asked[filled.slot], delivered[filled.slot]);
                                        in_delivery[filled.slot] = false;
                                        return Ok{};
                                      },
                                      .before_fill = [&](std::size_t slot) -> Status {
                                        EXPECT_FALSE(in_delivery[slot]);
                                        ++asked[slot];
                                        return Ok{};
                                      },
                                      .stop = {}});
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(delivered[0] + delivered[1] + delivered[2], 125);
}

// Every way to end early: nothing comes after it, and the call returns with what it was.
TEST_F(ExtentReader, EndsWithTheFirstError) {
  std::mt19937 random(1);
  const Checkpoint checkpoint = checkpoint_of({{9000, 9000}, {9000}}, random);
  for (const std::size_t threads : {1U, 2U, 5U}) {
    for (const int at : {1, 2, 17, 200}) {
      const Ring ring({100, 57, 100});
      std::stop_source stop;
      for (const std::string how : {"deliver", "before_fill", "stop"}) {
        int deliveries = 0;
        std::atomic<int> fills = 0;
        bool ended = false;
        const Status status = read_extents(checkpoint, everything(checkpoint),
                                           {.slots = ring.slots(),
                                            .threads = threads,
                                            .deliver = [&](const FilledSlot&) -> Status {
                                              EXPECT_FALSE(ended);
                                              if (++deliveries < at) return Ok{};
                                              if (how == "stop") ended = stop.request_stop();
                                              if (how != "deliver") return Ok{};
                                              ended = true;
                                              return make_error(Errc::device, "the copy failed");
                                            },
                                            .before_fill = [&](std::size_t) -> Status {
                                              if (how != "before_fill" || ++fills < at) return Ok{};
                                              return make_error(Errc::device, "the event failed");
                                            },
                                            .stop = stop.get_token()});
        ASSERT_FALSE(status.ok()) << how;
        EXPECT_EQ(status.error().message, how == "deliver" ? "the copy failed"
                                          : how == "before_fill"
                                              ? "the event failed"
                                              : "reading the weights was cancelled");
        EXPECT_EQ(status.error().code, how == "stop" ? Errc::cancelled : Errc::device);
      }
    }
  }
}

TEST_F(ExtentReader, NoticesAFileThatShrinksMeanwhile) {
  std::mt19937 random(1);
  const Checkpoint checkpoint = checkpoint_of({{20'000}, {20'000}}, random);
  const Ring ring({512, 512});
  std::uint64_t completed = 0;
  const Status status =
      read_extents(checkpoint, everything(checkpoint),
                   {.slots = ring.slots(),
                    .deliver = [&](const FilledSlot& filled) -> Status {
                      if (completed == 0)
                        std::filesystem::resize_file(folder_.path() / "1.safetensors", 9000);
                      completed = filled.completed_bytes;
                      return Ok{};
                    },
                    .before_fill = {},
                    .stop = {}});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::corrupt);
  // Which read comes to the end first is a race; some begin beyond it.
  EXPECT_TRUE(status.error().message.starts_with("1.safetensors: ends at byte 9"))
      << status.error().message;
  EXPECT_GE(completed, 20'000U - 2 * 512U);
  EXPECT_LT(completed, 29'000U);
}

TEST_F(ExtentReader, SaysThatOnlyTheHeaderIsHere) {
  const ShardHeader shard{.name = "model.safetensors",
                          .header = R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
                          .file_bytes = 64};
  const auto checkpoint = Checkpoint::from_headers(
      {}, std::vector<ShardHeader>{{shard.name, shard.header, 8 + shard.header.size() + 3}});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  const Ring ring({4});
  const Status status = read_extents(*checkpoint, everything(*checkpoint),
                                     {.slots = ring.slots(),
                                      .deliver = [](const FilledSlot&) -> Status { return Ok{}; },
                                      .before_fill = {},
                                      .stop = {}});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::unsupported);
}

TEST_F(ExtentReader, NeedsNoMemoryThatGrowsWithTheFiles) {
  std::mt19937 random(1);
  const Checkpoint checkpoint = checkpoint_of({{4'000'000, 1, 4'000'000}}, random);
  const Ring ring({4096, 4096, 4096, 4096});
  const std::size_t before = fakes::live_bytes();
  fakes::restart_peak();
  std::uint64_t completed = 0;
  ASSERT_TRUE(read_extents(checkpoint, everything(checkpoint),
                           {.slots = ring.slots(),
                            .deliver = [&](const FilledSlot& filled) -> Status {
                              completed = filled.completed_bytes;
                              return Ok{};
                            },
                            .before_fill = {},
                            .stop = {}})
                  .ok());
  EXPECT_EQ(completed, 8'000'001U);
  EXPECT_LT(fakes::peak_bytes() - before, 32'768U);
}

}  // namespace
}  // namespace glm::runner
