// SPDX-License-Identifier: Apache-2.0
/* Short names for the generated types of openshell.agent.v1. */
#pragma once

#include <stdio.h> /* before the generated header, whose fields called stdin must see the same macro */

#include "openshell/agent/v1/agent.pb-c.h"

/* API(SpawnRequest) is the struct, API_INIT(SPAWN_REQUEST) its initial value. */
#define API(name) Openshell__Agent__V1__##name
#define API_INIT(name) OPENSHELL__AGENT__V1__##name##__INIT
#define API_VALUE(name) OPENSHELL__AGENT__V1__##name
#define API_TYPE(name) (&openshell__agent__v1__##name##__descriptor)
/* Path of a method for rpc_client_start(). */
#define API_METHOD(name) "/openshell.agent.v1.SandboxAgent/" name
