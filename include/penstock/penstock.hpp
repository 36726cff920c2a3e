// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything a user of penstock needs. Includes the standard library only.
#include <penstock/batch.hpp>
#include <penstock/error.hpp>
#include <penstock/future.hpp>
#include <penstock/gather_options.hpp>
#include <penstock/index_semaphore.hpp>
#include <penstock/lease.hpp>
#include <penstock/light_switch.hpp>
#include <penstock/outcome.hpp>
#include <penstock/pipeline.hpp>
#include <penstock/queue_lock.hpp>
#include <penstock/resource_pool.hpp>
#include <penstock/rw_lock.hpp>
#include <penstock/size_bytes.hpp>
#include <penstock/stage_options.hpp>
#include <penstock/thread_stage.hpp>
#include <penstock/unowned_mutex.hpp>
#include <penstock/usable_processors.hpp>
#include <penstock/version.hpp>
