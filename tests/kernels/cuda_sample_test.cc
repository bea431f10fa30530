// Sampling on a GPU comes to the bits of the reference, which sample_test.cc holds against an
// oracle; and ids go through pages.
#include <cstring>

#include "tests/kernels/cuda_fixture.h"
#include "tests/kernels/sample_cases.h"

namespace glm::kernels {
namespace {

using cases::SampleCase;

class CudaSampleTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(gpu_->reserve({.rows = 64, .vocab = 154'880}).ok());
  }

  void expect_the_bits_of_the_reference(const SampleCase& c) {
    const std::size_t count = c.rows().size();
    std::vector<SampledRow> want(count);
    std::vector<std::int32_t> want_pages = c.pages();
    cpu_->sample(c.sample(want, want_pages));
    void* out = poisoned(count * sizeof(SampledRow));
    void* pages = device(c.pages());
    auto biases = c.biases();
    biases.emplace_back();  // never empty
    SampleCase copy = c;
    const Sample args = c.sample(static_cast<SampledRow*>(out), device(copy.logits()),
                                 static_cast<const SampleRow*>(device(copy.rows())), pages,
                                 device(c.table()), static_cast<const LogitBias*>(device(biases)));
    for (int repetition = 0; repetition < 2; ++repetition) {
      gpu_->sample(args);
      const std::vector<SampledRow> got = back<SampledRow>(out, count);
      for (std::size_t r = 0; r < count; ++r) {
        const SampleRow& row = c.rows()[r];
        const std::string what = fmt::format(
            "vocab {} limit {} look {} T {} k {} p {} min_p {} last_n {} biases {} logprobs {}",
            args.logits.size(1), row.vocab_limit, static_cast<int>(c.look(r)), row.temperature,
            row.top_k, row.top_p, row.min_p, row.repeat_last_n, row.bias_count, row.logprobs);
        ASSERT_EQ(got[r].id, want[r].id) << what;
        ASSERT_EQ(got[r].finite, want[r].finite) << what;
        ASSERT_EQ(got[r].logprob, want[r].logprob) << what;
        ASSERT_EQ(got[r].top_count, want[r].top_count) << what;
        for (std::int32_t i = 0; i < got[r].top_count; ++i) {
          ASSERT_EQ(got[r].top_ids[i], want[r].top_ids[i]) << what << " place " << i;
          ASSERT_EQ(got[r].top_logprobs[i], want[r].top_logprobs[i]) << what << " place " << i;
        }
      }
    }
    ASSERT_EQ(back<std::int32_t>(pages, want_pages.size()), want_pages);
    forget();
  }

  std::unique_ptr<Ops> cpu_ = make_cpu_ops(1);
};

TEST_F(CudaSampleTest, ComesToTheBitsOfTheReference) {
  for (const std::int64_t vocab :
       {1, 2, 7, 31, 32, 33, 127, 129, 1000, 4095, 4096, 4097, 8191, 20000}) {
    for (int repetition = 0; repetition < 6; ++repetition) {
      expect_the_bits_of_the_reference(SampleCase(engine_, vocab, 40));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(CudaSampleTest, ComesToTheBitsOfTheReferenceOverTheVocabularyOfAModel) {
  for (const std::size_t rows : {1U, 64U}) {
    expect_the_bits_of_the_reference(SampleCase(engine_, 154'880, rows));
    if (HasFatalFailure()) return;
  }
}

// The head's own logits are the reference's, whether they are stored or not.
TEST_F(CudaSampleTest, WithTheHeadInFrontComesToTheBitsOfTheReference) {
  struct Shape {
    std::int64_t vocab;
    std::int64_t hidden;
  };
  // Little weight, and columns in parts: these are stored. Then vocabularies of low tiles alone, of
  // whole ones, and of both.
  for (const Shape shape :
       {Shape{1000, 64}, {4097, 4096}, {20'000, 512}, {33'792, 512}, {154'880, 136}}) {
    const auto [vocab, hidden] = shape;
    Bits weight = random(vocab * hidden);
    // Equal logits: the lower id goes before.
    for (std::int64_t o = 8; o < vocab; o += 1 + static_cast<std::int64_t>(engine_() % 97)) {
      std::copy_n(weight.begin(), hidden, weight.begin() + o * hidden);
    }
    const void* weights = device(weight);
    for (const std::int64_t rows : {1, 2, 8, 9, 17, 33, 64}) {
      SampleCase c(engine_, vocab, static_cast<std::size_t>(rows));
      for (SampleRow& row : c.rows()) {
        row.top_k = 0;
        row.top_p = 1;
        row.min_p = 0;
        row.repeat_last_n = 0;
        row.bias_count = 0;
        row.logprobs = -1;
      }
      Bits x = random(rows * hidden);
      if (rows > 8) {
        x[static_cast<std::size_t>(3 * hidden)] = 0x7FC0;  // NaN
        x[static_cast<std::size_t>(5 * hidden)] = 0x7F80;  // infinity
      }
      void* logits = poisoned(c.logits().size() * sizeof(float));
      const Linear head{
          .out = TensorView(logits, Dtype::f32, {rows, c.stride()}).slice(1, 0, vocab),
          .x = {device(x), Dtype::bf16, {rows, hidden}},
          .weight = {.layout = {.format = WeightFormat::bf16, .rows = vocab, .cols = hidden},
                     .data = weights}};
      gpu_->linear(head);
      c.logits() = back<float>(logits, c.logits().size());
      std::vector<SampledRow> want(static_cast<std::size_t>(rows));
      std::vector<std::int32_t> want_pages = c.pages();
      cpu_->sample(c.sample(want, want_pages));

      void* out = poisoned(want.size() * sizeof(SampledRow));
      void* pages = device(c.pages());
      void* again = poisoned(c.logits().size() * sizeof(float));
      Sample args = c.sample(static_cast<SampledRow*>(out), again,
                             static_cast<const SampleRow*>(device(c.rows())), pages,
                             device(c.table()), nullptr);
      args.may_filter = false;
      args.head = head;
      args.head.out.data = again;
      for (const bool may_look : {true, false}) {
        args.may_look = may_look;
        gpu_->sample(args);
        const std::vector<SampledRow> got = back<SampledRow>(out, want.size());
        for (std::size_t r = 0; r < want.size(); ++r) {
          const std::string what =
              fmt::format("row {} of {} vocab {} hidden {} limit {} T {} looks {}", r, rows, vocab,
                          hidden, c.rows()[r].vocab_limit, c.rows()[r].temperature, may_look);
          ASSERT_EQ(got[r].finite, want[r].finite) << what;
          ASSERT_EQ(got[r].id, want[r].id) << what;
          ASSERT_EQ(got[r].top_count, 0) << what;
        }
        ASSERT_EQ(back<std::int32_t>(pages, want_pages.size()), want_pages);
      }
      if (vocab < 20'000 || rows > 32) continue;
      // Where nobody looks at them, logits are not stored.
      const Floats mark(c.logits().size(), -1.0F);
      gpu_->upload(again, std::as_bytes(std::span(mark)));
      gpu_->sample(args);
      EXPECT_EQ(back<float>(again, mark.size()), mark) << vocab << " " << rows;
    }
    forget();
  }
}

TEST_F(CudaSampleTest, RefusesMoreThanItsWorkspaceHolds) {
  const SampleCase c(engine_, 7, 65);
  std::vector<SampledRow> out(65);
  std::vector<std::int32_t> pages = c.pages();
  gpu_->sample(c.sample(out, pages));
  EXPECT_EQ(gpu_->sync().error().message,
            "sample of 65 rows of 7: the workspace was reserved for 64 of 154880");
}

TEST_F(CudaSampleTest, IdsAreWrittenToTheirPagesOrReadFromThem) {
  std::vector<std::int32_t> pages(5 * kPageTokens);
  for (std::int32_t& id : pages) id = static_cast<std::int32_t>(engine_() % 1000);
  const std::vector<std::int32_t> table = {4, 0, 2, 3, 1, 0};  // the last is of nobody
  std::vector<std::int32_t> given, sequence, position;
  for (std::int32_t p = 60; p < 130; ++p) {
    given.push_back(p % 3 == 0 ? -1 : 2000 + p);
    sequence.push_back(0);
    position.push_back(p);
  }
  for (std::int32_t p = 3; p < 100; p += 90) {
    given.push_back(-1);
    sequence.push_back(1);
    position.push_back(p);
  }
  const auto count = static_cast<std::int64_t>(given.size());
  std::vector<std::int32_t> want(given.size());
  std::vector<std::int32_t> want_pages = pages;
  StepIds args{.ids = view(std::span<std::int32_t>(want), {count}),
               .history = {.pages = view(std::span<std::int32_t>(want_pages), {5, kPageTokens}),
                           .table = view(std::span<const std::int32_t>(table), {2, 3})},
               .tokens = {.sequence = view(std::span<const std::int32_t>(sequence), {count}),
                          .position = view(std::span<const std::int32_t>(position), {count}),
                          .positions_max = 192},
               .given = view(std::span<const std::int32_t>(given), {count})};
  cpu_->step_ids(args);
  EXPECT_EQ(want[1], 2061);
  EXPECT_EQ(want_pages[4 * kPageTokens + 61], 2061);
  EXPECT_EQ(want[70], pages[3 * kPageTokens + 3]);
  args.ids.data = poisoned(given.size() * 4);
  args.history.pages.data = device(pages);
  args.history.table.data = device(table);
  args.tokens.sequence.data = device(sequence);
  args.tokens.position.data = device(position);
  args.given.data = device(given);
  gpu_->step_ids(args);
  EXPECT_EQ(back<std::int32_t>(args.ids.data, given.size()), want);
  EXPECT_EQ(back<std::int32_t>(args.history.pages.data, pages.size()), want_pages);

  // With their rows of a table: in one launch where rows are whole octets, else in parts.
  for (const std::int64_t dim : {2048, 520, 36}) {
    const std::int64_t table_rows = 4096;
    std::vector<std::uint16_t> numbers(static_cast<std::size_t>(table_rows * dim));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] =
          static_cast<std::uint16_t>(static_cast<std::uint32_t>(i) * 2654435761U >> 18U);  // finite
    }
    std::vector<std::uint16_t> want_rows;
    for (const std::int32_t id : want) {
      const auto row = numbers.begin() + id * dim;
      want_rows.insert(want_rows.end(), row, row + dim);
    }
    args.ids.data = poisoned(given.size() * 4);
    args.history.pages.data = device(pages);
    args.rows = {poisoned(want_rows.size() * 2), Dtype::bf16, {count, dim}};
    args.table = {.layout = {.format = WeightFormat::bf16, .rows = table_rows, .cols = dim},
                  .data = device(numbers)};
    const std::vector<std::uint64_t> never = {0};
    args.began_ns = static_cast<std::uint64_t*>(device(never));
    gpu_->step_ids(args);
    EXPECT_EQ(back<std::int32_t>(args.ids.data, given.size()), want);
    EXPECT_EQ(back<std::int32_t>(args.history.pages.data, pages.size()), want_pages);
    EXPECT_EQ(back<std::uint16_t>(args.rows.data, want_rows.size()), want_rows) << dim;
    EXPECT_NE(back<std::uint64_t>(args.began_ns, 1), never);
  }
}

TEST_F(CudaSampleTest, EventsComeInTheirOrder) {
  const auto host = std::move(gpu_->allocate_host(4)).value();
  const auto fetched = std::move(gpu_->allocate_host(4)).value();
  const auto memory = std::move(gpu_->allocate(4)).value();
  const auto event = std::move(gpu_->make_event()).value();
  auto* number = static_cast<std::int32_t*>(host.data());
  for (std::int32_t i = 0; i < 100; ++i) {
    *number = i;
    gpu_->upload_in_place(memory.data(), {static_cast<const std::byte*>(host.data()), 4});
    gpu_->download({static_cast<std::byte*>(fetched.data()), 4}, memory.data());
    ASSERT_TRUE(gpu_->mark(*event).ok());
    ASSERT_TRUE(gpu_->wait(*event).ok());
    ASSERT_EQ(*static_cast<std::int32_t*>(fetched.data()), i);
  }
}

}  // namespace
}  // namespace glm::kernels
