// Router, choice and shared expert of a layer for up to 64 tokens. Two neighbouring blocks, a pair,
// have 64 rows of the first weights, 32 of gate and 32 of up, and 32 rows of the second; each takes
// half of the columns, so that it reads half of the activations, and is sent half of the sums:
//
//   most pairs   gate, up | all blocks wait for what all others have | down
//   the last     router   | choice
//
// All of a block's weights have room in shared memory: they are asked for before the kernel in
// front has ended (in nvfp4 and e4m3, read and decoded), and only activations, by tensor maps, go
// through a ring. Tokens are the 64 rows of the tensor cores' tile whatever their number; rows
// without a token are not looked at.
//
// Of few tokens the launch behind ends the shared expert (groups_shared.cuh): then this one ends
// with the first half.
//
// Where the kernel in front left a norm's second half (RowSquares, product.h), sums of tokens get
// their factor, and warps that help write x for the routed experts.
#include "kernels/cuda/moe_opening.h"

#include <optional>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/moe_opening_packed.cuh"
#include "kernels/cuda/moe_opening_sums.cuh"
#include "kernels/cuda/router_choice.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/sync_threads.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kHelperWarps = 4;  // that choose beside those that multiply
constexpr int kChoosers = kOpeningGroupWarps + kHelperWarps;
constexpr int kWarps = kChoosers + 1;
constexpr int kThreads = kWarps * device::kWarpThreads;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kHalfTokens = kOpeningTokensMax / 2;
constexpr int kFetchWarp = kChoosers;
constexpr int kFactorsBarrier = 3;
constexpr int kHelpersBarrier = 4;

// By a thread of each warp, since a warp sets up one barrier after the other.
__device__ void set_up(const OpeningBlock& block, int warp) {
#pragma unroll 1
  for (int i = warp; i < max(block.plan.first_steps, block.plan.second_steps); i += kWarps) {
    device::barrier_set_up(block.barrier(kFull, i), 1);
    device::barrier_set_up(block.barrier(kUsed, i), kOpeningGroupWarps);
    device::barrier_set_up(block.barrier(kSecond, i), 1);
  }
  if (warp < 2) device::barrier_set_up(block.barrier(kReceived, warp), 1);
  device::barriers_are_set_up();
  if (warp >= 2) return;
  device::barrier_arrive_expecting(
      block.barrier(kReceived, warp),
      kHalfTokens * (warp == 0 ? kOpeningFirstRows : kOpeningSecondRows) * sizeof(float));
}

__device__ float load_float(std::uint32_t shared) {
  float v = 0;
  asm volatile("ld.shared.f32 %0, [%1];\n" : "=f"(v) : "r"(shared) : "memory");
  return v;
}
__device__ const uint4* weighted_octet(const OpeningArgs& a, int token, int octet) {
  return reinterpret_cast<const uint4*>(a.weighted + token * a.weighted_stride) + octet;
}

// To be rounded to bf16.
__device__ float silu_approx(float x) {
  return __fdividef(x, 1.0F + __expf(-x));
}

// Two bf16 numbers of a row of results, if there is such a row.
__device__ void store_pair(const OpeningArgs& a, __nv_bfloat16* rows, int row_elements, int token,
                           int column, std::uint32_t pair) {
  if (token >= a.tokens) return;
  *reinterpret_cast<std::uint32_t*>(rows + static_cast<std::int64_t>(token) * row_elements +
                                    column) = pair;
}

// What sums of a token are multiplied with; `i` is 1 for the second of this thread's two.
__device__ float factor_of(const OpeningBlock& block, int i) {
  if (block.a.squares.sums == nullptr) return 1;
  return load_float(block.memory + block.plan.factors_at +
                    static_cast<unsigned>(own_token() + 8 * i) * 4);
}

// By the helpers of all blocks that do not route: the norm is ended, and x written.
__device__ void end_norm(const OpeningBlock& block, std::uint8_t* memory) {
  const OpeningArgs& a = block.a;
  auto* factors = reinterpret_cast<float*>(memory + block.plan.factors_at);
  constexpr int kHelpers = kHelperWarps * device::kWarpThreads;
  constexpr int kOfToken = kHelpers / kOpeningTokensMax;
  const int thread = static_cast<int>(threadIdx.x) - kOpeningGroupWarps * device::kWarpThreads;
  const int octets = a.hidden / 8;
  const int blocks = 2 * block.plan.router_pair;
  const int all = block.routes() ? 0 : a.tokens * octets;
  int at = (2 * block.pair + block.rank) * kHelpers + thread;
  uint4 row = {};
  if (at < all) row = __ldcg(weighted_octet(a, at / octets, at % octets));
  const int token = thread / kOfToken;
  float sum = 0;
  if (token < a.tokens) {
    const int own = a.squares.parts / kOfToken;
    const auto* parts = reinterpret_cast<const float4*>(a.squares.sums + token * a.squares.parts +
                                                        thread % kOfToken * own);
#pragma unroll 4
    for (int i = 0; i < own / 4; ++i) {
      const float4 four = __ldcg(parts + i);
      sum += (four.x + four.y) + (four.z + four.w);
    }
  }
  sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 1);
  static_assert(kOfToken == 2);
  const float factor = rsqrtf(sum / static_cast<float>(a.hidden) + a.squares.eps);
  if (thread % kOfToken == 0) factors[token] = factor;
  device::sync_threads(kHelpersBarrier, kHelpers);  // factors are there
  if (block.has_first()) device::arrive_threads(kFactorsBarrier, kChoosers * device::kWarpThreads);
#pragma unroll 1
  for (; at < all; at += blocks * kHelpers) {
    const float own = factors[at / octets];
    const uint4 x = device::octet_of([&](int i) { return device::octet_at(row, i) * own; });
    device::write_octet(a.x + at / octets * a.x_stride + at % octets * 8, x);
    const int next = at + blocks * kHelpers;
    if (next < all) row = __ldcg(weighted_octet(a, next / octets, next % octets));
  }
}

// Of a shared expert that is only begun here, so that the second half's weights are in the
// second-level cache when the launch behind ends it: by the helpers, while products are under way.
// Their scales, of four bits and e4m3, are not asked for.
__device__ void fetch_for_the_end(const OpeningBlock& block) {
  const OpeningArgs& a = block.a;
  if (block.plan.second_pairs > 0 || block.routes()) return;
  constexpr int kLine = 128;
  constexpr int kHelpers = kHelperWarps * device::kWarpThreads;
  const int thread = static_cast<int>(threadIdx.x) - kOpeningGroupWarps * device::kWarpThreads;
  const std::int64_t bytes = a.hidden * a.down.row_bytes;
  const std::int64_t step = std::int64_t{2} * block.plan.router_pair * kHelpers * kLine;
  std::int64_t at = (std::int64_t{2 * block.pair + block.rank} * kHelpers + thread) * kLine;
#pragma unroll 1
  for (; at < bytes; at += step) device::prefetch(a.down.data + at);
}

// Sixteen units: of gate, then of up.
template <class Units>
__device__ void store_units(const OpeningBlock& block, const Units& units,
                            const float (&sums)[kOpeningFirstRows / 4]) {
  const float factors[2] = {factor_of(block, 0), factor_of(block, 1)};
#pragma unroll
  for (int i = 0; i < kOpeningFirstRows / 16; ++i) {  // pairs of units
    const float* gate = sums + 2 * i;
    const float* up = gate + kOpeningFirstRows / 8;
    const float of_gate = units.gate * factors[i % 2];
    const float of_up = units.up * factors[i % 2];
    store_pair(
        block.a, block.a.inner, block.a.wide, own_token() + i % 2 * 8,
        block.pair * kOpeningUnits + block.rank * (kOpeningUnits / 2) + i / 2 * 8 + own_column(),
        device::bf16_pair(silu_approx(gate[0] * of_gate) * (up[0] * of_up),
                          silu_approx(gate[1] * of_gate) * (up[1] * of_up)));
  }
}

// Logits of the block's tokens, where activations were.
constexpr int kLogitsPitch = kOpeningFirstRows + 4;
__device__ float* logits_of(const OpeningBlock& block, std::uint8_t* memory, int token) {
  return reinterpret_cast<float*>(memory + block.plan.slots_at) +
         token % kHalfTokens * kLogitsPitch;
}

__device__ void gather_logits(const OpeningBlock& block, std::uint8_t* memory,
                              const float (&sums)[kOpeningFirstRows / 2]) {
  float* logits = logits_of(block, memory, own_token()) + own_column();
  const float factors[2] = {factor_of(block, 0), factor_of(block, 1)};
#pragma unroll
  for (int i = 0; i < kOpeningFirstRows / 2; i += 2) {
    const float factor = factors[i / 2 % 2];
    *reinterpret_cast<float2*>(logits + i / 2 % 2 * 8 * kLogitsPitch + i / 4 * 8) = {
        sums[i] * factor, sums[i + 1] * factor};
  }
}

__device__ void choose(const OpeningBlock& block, std::uint8_t* memory) {
  const OpeningArgs& a = block.a;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  float bias[2] = {};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int expert = lane + i * device::kWarpThreads;
    if (a.rule.bias != nullptr && expert < a.rule.experts) bias[i] = a.rule.bias[expert];
  }
  device::sync_threads(1, kChoosers * device::kWarpThreads);  // all logits are there
  const int first = block.rank * kHalfTokens;
  const int end = min(first + kHalfTokens, a.tokens);
#pragma unroll 1
  for (int token = first + static_cast<int>(threadIdx.x) / device::kWarpThreads; token < end;
       token += kChoosers) {
    const float* gathered = logits_of(block, memory, token);
    float* logits = a.logits + static_cast<std::int64_t>(token) * a.rule.experts;
    float own[2] = {};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int expert = lane + i * device::kWarpThreads;
      if (expert < a.rule.experts) logits[expert] = own[i] = gathered[expert];
    }
    choose_of_few(a.rule, own, bias, a.ids + static_cast<std::int64_t>(token) * a.rule.chosen,
                  a.weights + static_cast<std::int64_t>(token) * a.rule.chosen);
  }
}

template <class Units>
__device__ void first_half(const OpeningBlock& block, const Units& units, std::uint8_t* memory) {
  const OpeningPlan& plan = block.plan;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  Sums<kOpeningFirstRows> all = {};
  int step = block.first_step(plan.first_steps);
  int slot = 0;
  multiply_all<kOpeningFirstRows>(
      all, plan.first_steps,
      [&](auto& left) {
        device::barrier_wait(block.barrier(kFull, step), 0);
        load_tokens(block.slot(slot), left);
        const std::uint32_t weights = block.first(step);
        step = OpeningBlock::behind(step, plan.first_steps);
        slot = OpeningBlock::behind(slot, plan.slots);
        return weights;
      },
      [&](int turn) {
        const bool last = turn + 1 == plan.first_steps;
        if (lane == 0 && !last) device::barrier_arrive(block.barrier(kUsed, turn));
      });
  if (lane == 0) device::barrier_arrive(block.barrier(kUsed, plan.first_steps - 1));
  const float(&sums)[kOpeningFirstRows / 2] = all[0];
  if (block.a.squares.sums != nullptr) {
    device::sync_threads(kFactorsBarrier, kChoosers * device::kWarpThreads);  // factors are there
  }
  if (block.routes()) {
    float own[kOwn<OpeningSplit::tokens, kOpeningFirstRows>];
    const bool mine = meet<OpeningSplit::tokens, kOpeningFirstRows>(block, 0, sums, own);
    // Where activations were, logits are gathered: no product still reads there.
    device::sync_threads(2, kOpeningGroupWarps * device::kWarpThreads);
    if (mine) gather_logits(block, memory, own);
    return choose(block, memory);
  }
  float own[kOwn<OpeningSplit::columns, kOpeningFirstRows>];
  meet<OpeningSplit::columns, kOpeningFirstRows>(block, 0, sums, own);
  store_units(block, units, own);
  device::sync_threads(2, kOpeningGroupWarps * device::kWarpThreads);  // all are stored
  if (threadIdx.x == 0 && plan.second_pairs > 0) {
    device::add_release(&block.a.progress->halves, 1);
  }
}

template <class Units>
__device__ void second_half(const OpeningBlock& block, const Units& units) {
  const OpeningPlan& plan = block.plan;
  const OpeningArgs& a = block.a;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  if (threadIdx.x % device::kWarpThreads == 0) fetch_inner(block, warp);
  __syncwarp();
  Sums<kOpeningSecondRows> all = {};
  int step = block.first_step(plan.second_steps);
  multiply_all<kOpeningSecondRows>(
      all, plan.second_steps,
      [&](auto& left) {
        device::barrier_wait(block.barrier(kSecond, step), 0);
        load_tokens(block.inner(step), left);
        const std::uint32_t weights = block.second(step);
        step = OpeningBlock::behind(step, plan.second_steps);
        return weights;
      },
      [](int /*turn*/) {});
  if (threadIdx.x == 0) {  // all that waited for the first half have copied of it
    MoeOpeningProgress* progress = a.progress;
    const auto blocks = 2U * static_cast<unsigned>(plan.second_pairs);
    if (atomicAdd(&progress->passed, 1U) + 1 == blocks) *progress = {};
  }
  const float(&sums)[kOpeningSecondRows / 2] = all[0];
  float own[kOwn<OpeningSplit::columns, kOpeningSecondRows>];
  meet<OpeningSplit::columns, kOpeningSecondRows>(block, 1, sums, own);
#pragma unroll
  for (int i = 0; i < kOpeningSecondRows / 8; ++i) {  // pairs of outputs
    store_pair(a, a.out, a.hidden, own_token() + i % 2 * 8,
               block.pair * kOpeningSecondRows + block.rank * (kOpeningSecondRows / 2) + i / 2 * 8 +
                   own_column(),
               device::bf16_pair(own[2 * i] * units.down, own[2 * i + 1] * units.down));
  }
}

#endif

template <class Coding>
__global__ void __launch_bounds__(kThreads, 1)
    opening_kernel(const __grid_constant__ OpeningMaps maps, const __grid_constant__ OpeningArgs a,
                   const __grid_constant__ OpeningPlan plan) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const std::uint32_t address = device::shared_address(unaligned);
  const std::uint32_t base =
      (address + kOpeningAlignment - 1) / kOpeningAlignment * kOpeningAlignment;
  std::uint8_t* memory = unaligned + (base - address);
  // The pair that routes has the longest work. Where nothing else comes behind it, it begins first.
  const bool begins = plan.second_pairs == 0;
  const int number = static_cast<int>(blockIdx.x) / 2;
  const OpeningBlock block{.maps = maps,
                           .a = a,
                           .plan = plan,
                           .memory = base,
                           .pair = !begins       ? number
                                   : number == 0 ? plan.router_pair
                                                 : number - 1,
                           .rank = device::cluster_rank()};
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  if (lane == 0) set_up(block, warp);
  __syncthreads();  // the barriers of this block are set up
  device::cluster_arrive_relaxed();
  const bool decodes = Coding::kPacked && !block.routes();
  const OpeningUnits<Coding> units(a);
  if (warp < kOpeningGroupWarps && block.has_first() && !decodes) {
    const int turn = lane * kOpeningGroupWarps + warp;
    if (turn < plan.first_steps) ask_for_first(block, (block.pair + turn) % plan.first_steps);
  }
  if (warp == kFetchWarp && lane == 0) {
    device::prefetch_map(maps.x);
    device::prefetch_map(maps.inner);
  }
  if (warp == kOpeningGroupWarps && block.has_second() && !decodes && lane < plan.second_steps) {
    ask_for_second(block, lane);
  }
  if constexpr (Coding::kPacked) {
    if (decodes && warp < kChoosers) {
      if (block.has_first()) decode_first<Coding>(block, warp, kChoosers);
      // Those that do not multiply have time for it.
      if (warp >= kOpeningGroupWarps && block.has_second()) {
        decode_second<Coding>(block, warp - kOpeningGroupWarps, kHelperWarps);
      }
    }
  }
  __syncwarp();
  device::cluster_wait();  // those of the other are as well
  if (warp == kFetchWarp) {
    fetch(block);
    return;
  }
  const bool norms = a.squares.sums != nullptr;
  if (warp >= kOpeningGroupWarps && !block.routes() && !norms && !begins) return;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (warp >= kOpeningGroupWarps) {
    if (norms) end_norm(block, memory);
    if (begins) fetch_for_the_end(block);
    if (block.routes()) choose(block, memory);
    return;
  }
  if (block.has_first()) first_half(block, units, memory);
  if (block.has_second()) second_half(block, units);
#else
  __trap();  // built for another device
#endif
}

EarlyLaunch how_to_launch(const OpeningPlan& plan) {
  return {.grid = 2U * static_cast<unsigned>(plan.router_pair + 1),
          .threads = kThreads,
          .shared_bytes = plan.total,
          .cluster = 2};
}

using OpeningKernel = void (*)(OpeningMaps, OpeningArgs, OpeningPlan);

OpeningKernel kernel_of(const OpeningPlan& plan) {
  switch (plan.coding) {
    case OpeningCoding::fp4:
      return &opening_kernel<OpeningFp4>;
    case OpeningCoding::fp8:
      return &opening_kernel<OpeningFp8>;
    case OpeningCoding::bf16:
      break;
  }
  return &opening_kernel<OpeningPlain>;
}

cudaError_t allow_shared_memory(const OpeningPlan& plan) {
  return cudaFuncSetAttribute(kernel_of(plan), cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(plan.total));
}

}  // namespace

bool supports_moe_opening(const MoeLayer& a) {
  const std::optional<OpeningPlan> plan = opening_plan(a, bulk_limits(), false);
  return plan && allow_shared_memory(*plan) == cudaSuccess &&
         fits_at_once(how_to_launch(*plan), kernel_of(*plan));
}

cudaError_t launch_moe_opening(const MoeLayer& a, const MoeWorkspace& space, bool norms,
                               bool begins, cudaStream_t stream) {
  const std::optional<OpeningPlan> plan = opening_plan(a, bulk_limits(), begins);
  if (!plan) return cudaErrorNotSupported;
  OpeningMaps maps;
  cudaError_t code = make_opening_maps(a, *plan, norms, maps);
  if (code != cudaSuccess) return code;
  code = allow_shared_memory(*plan);
  if (code != cudaSuccess) return code;
  return launch_early(how_to_launch(*plan), kernel_of(*plan), stream, maps,
                      opening_args(a, space, norms), *plan);
}

}  // namespace glm::kernels::cuda
